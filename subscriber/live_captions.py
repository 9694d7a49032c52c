"""Captions that change in place on a terminal: what is being spoken is grey until it is final.

Interleaved, finals of all streams are printed one after the other, and below them are the open
utterances. By stream, every stream has lines of its own, which show its newest text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from schemas.transcript import AnyEvent, TranscriptPartial, UtteranceStarted
from subscriber.captions import LAST_LINES, Captions, colour, fit, is_minor, last_column, wrapped
from subscriber.open_utterances import OpenUtterances
from transport.console import count, printable

_GAP: Final = "  "
_NAME_CELLS: Final = 16
_STREAM_LINES: Final = 4  # at most, of one stream
_KEPT_TEXTS: Final = 12  # of one stream: more than its lines show
_KEPT_STREAMS: Final = 200  # more than a terminal has lines


class LiveRegion:
    """The lines at the end of the terminal that change in place; a context manager."""

    def __init__(self, console: Console, clock: Callable[[], float], *, keep: bool) -> None:
        """`clock`: monotonic seconds. `keep`: leave the lines on the terminal at the end."""
        self.console = console
        self.open = OpenUtterances()
        self._clock = clock
        self._live = Live(
            console=console, auto_refresh=False, transient=not keep, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: AnyEvent) -> None:
        """Take the next event and show what has changed."""
        self.open.update(event, self._clock())
        with self.console:  # written at once: a final is never seen beside its partial
            if not isinstance(event, TranscriptPartial | UtteranceStarted):
                self.closed(event)
            self._live.update(self.region(), refresh=True)

    def tick(self) -> None:
        """Remove utterances that have ended without a final; to be called every second."""
        self.open.expire(self._clock())
        self._live.update(self.region(), refresh=True)

    def region(self) -> Text:
        """Return the lines that change in place."""
        raise NotImplementedError

    def closed(self, event: AnyEvent) -> None:
        """Take a final, or another event of the transcript topic."""
        raise NotImplementedError


class InterleavedCaptions(LiveRegion):
    """Finals of all streams in the order of publication, and open utterances below them."""

    def __init__(self, console: Console, captions: Captions, clock: Callable[[], float]) -> None:
        super().__init__(console, clock, keep=False)
        self._captions = captions

    def region(self) -> Text:
        events = [*self.open]
        room = max(1, (self.console.height - 1) // LAST_LINES)
        rows = [self._captions.open_lines(event) for event in events[:room]]
        if len(events) > room:
            rows.append(Text(f"and {count(len(events) - room, 'stream')} more", "dim"))
        return Text("\n").join(rows)

    def closed(self, event: AnyEvent) -> None:
        self._captions.show(event)


class CaptionsByStream(LiveRegion):
    """Lines for each stream: its newest text, the open utterance at the end."""

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float],
        *,
        everything: bool = False,
        streams: Iterable[str] = (),
    ) -> None:
        """`everything`: minor events too. `streams`: the expected ids, which have lines at once."""
        super().__init__(console, clock, keep=True)
        self._everything = everything
        self._texts: dict[str, deque[Text]] = {stream: _no_texts() for stream in streams}

    def show(self, event: AnyEvent) -> None:
        self._texts.setdefault(event.stream_id, _no_texts())
        if len(self._texts) > _KEPT_STREAMS:
            del self._texts[next(iter(self._texts))]
        super().show(event)

    def region(self) -> Text:
        height = max(1, self.console.height - 1)
        streams = [*self._texts][-height:]
        lines = max(1, min(_STREAM_LINES, height // max(1, len(streams))))
        return Text("\n").join(self._lines_of(stream, lines) for stream in streams)

    def closed(self, event: AnyEvent) -> None:
        if self._everything or not is_minor(event):
            self._texts[event.stream_id].append(last_column(event))

    def _lines_of(self, stream: str, count_of_lines: int) -> Text:
        interim = self.open.of(stream)
        texts = [*self._texts[stream], *([last_column(interim)] if interim else ())]
        cells = self.console.width - _NAME_CELLS - len(_GAP)
        lines = wrapped(texts, cells)[-count_of_lines:]
        lines += [Text()] * (count_of_lines - len(lines))
        name = Text(fit(printable(stream), _NAME_CELLS), colour(stream))
        indent = Text(" " * _NAME_CELLS)
        names = (name, *[indent] * (len(lines) - 1))
        return Text("\n").join(
            Text.assemble(left, _GAP, line) for left, line in zip(names, lines, strict=True)
        )


def _no_texts() -> deque[Text]:
    return deque(maxlen=_KEPT_TEXTS)
