"""Events as lines of a terminal: time, stream, language and text.

    09:41:07  call-7        en  and so my fellow Americans ask not what your
                                country can do for you
    09:41:12  call-7            ended (end): 1 utterance, 11.0 s

Columns are measured in terminal cells: a Chinese character has two. Texts and ids are untrusted, so
control characters are printed as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    TranscriptFinal,
    UtteranceFailed,
    Verdict,
)
from transport.console import count, local_time, printable

_GAP: Final = "  "  # between columns
_TIME_CELLS: Final = 8
_LANGUAGE_CELLS: Final = 3
_MIN_STREAM_CELLS: Final = 10  # the column grows with the ids ...
_MAX_STREAM_CELLS: Final = 24  # ... up to here
_MIN_TEXT_CELLS: Final = 20  # on a very narrow terminal

_STREAM_COLOURS: Final = ("green", "yellow", "blue", "magenta", "cyan", "bright_red")


class Captions:
    """Prints events; keeps the current day and the width of the stream column."""

    def __init__(
        self, console: Console, *, everything: bool = False, streams: Iterable[str] = ()
    ) -> None:
        """`everything`: stream starts and suppressed finals too. `streams`: the expected ids."""
        self._console = console
        self._everything = everything
        self._stream_cells = _MIN_STREAM_CELLS
        for stream in streams:
            self._widen(stream)
        self._day: date = datetime.now().astimezone().date()

    def show(self, event: AnyEvent) -> None:
        """Print the event, unless it is a minor one that is not wanted."""
        if self._everything or not is_minor(event):
            self._console.print(self.lines(event), soft_wrap=True)

    def lines(self, event: AnyEvent) -> Text:
        """Return the event's line, on a terminal wrapped under its last column."""
        moment = local_time(event.time_ms)
        row = self._prefix(event, moment)
        return Text.assemble(
            *self._new_day(moment), row, self._wrapped(last_column(event), row.cell_len)
        )

    def _wrapped(self, text: Text, indent: int) -> Text:
        if not self._console.is_terminal:
            return text
        lines = text.wrap(self._console, max(self._console.width - indent, _MIN_TEXT_CELLS))
        for line in lines:
            line.rstrip()
        return Text(f"\n{' ' * indent}").join(lines)

    def _prefix(self, event: AnyEvent, moment: datetime | None) -> Text:
        stream = printable(event.stream_id)
        self._widen(stream)
        language = printable(getattr(event, "language", ""))
        return Text.assemble(
            (f"{moment:%H:%M:%S}" if moment else "-" * _TIME_CELLS, "dim"),
            _GAP,
            (fit(stream, self._stream_cells), colour(stream)),
            _GAP,
            (language.ljust(_LANGUAGE_CELLS), "dim"),
            _GAP,
        )

    def _widen(self, stream: str) -> None:
        self._stream_cells = max(self._stream_cells, min(cell_len(stream), _MAX_STREAM_CELLS))

    def _new_day(self, moment: datetime | None) -> tuple[Text, ...]:
        """Return a line with the date if it differs from the previous event's."""
        if moment is None or moment.date() == self._day:
            return ()
        self._day = moment.date()
        return (Text(f"{self._day:%a %d %b %Y}\n", "dim"),)


def is_minor(event: AnyEvent) -> bool:
    """Return whether the event is printed only on request: suppressed finals, stream starts."""
    if isinstance(event, TranscriptFinal):
        return event.quality.verdict is Verdict.SUPPRESSED
    return isinstance(event, StreamStarted)


def fit(text: str, cells: int) -> str:
    """Return the text in exactly that many cells; the middle of a longer one is left out.

    The middle, because ids differ mostly at their ends.
    """
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    tail = cells // 2
    return set_cell_size(f"{set_cell_size(text, cells - tail - 1)}…{text[-tail:]}", cells)


def colour(stream: str) -> str:
    """Return the stream's colour, the same in every run."""
    return _STREAM_COLOURS[sum(stream.encode()) % len(_STREAM_COLOURS)]


def last_column(event: AnyEvent) -> Text:
    """Return the text of a final, or the description of another event."""
    if isinstance(event, TranscriptFinal) and event.quality.verdict is not Verdict.SUPPRESSED:
        return Text(printable(event.text.strip()))
    return Text(printable(description(event)), "dim")


def description(event: AnyEvent) -> str:  # noqa: PLR0911 - one a kind of event
    match event:
        case TranscriptFinal(text=text, quality=quality):
            return f"suppressed ({', '.join(quality.reasons)}) {text.strip()}"
        case StreamStarted(rate=rate, channels=channels):
            return f"started: {rate} Hz, {count(channels, 'channel')}"
        case StreamEnded(reason=reason, utterances=utterances, audio_s=audio_s, gaps=gaps):
            missing = f", {count(gaps, 'gap')}" if gaps else ""
            return f"ended ({reason}): {count(utterances, 'utterance')}, {audio_s:.1f} s{missing}"
        case StreamGap(start_sample=start, end_sample=end, rate=rate, estimated=estimated):
            about = "about " if estimated else ""
            return f"gap: {about}{(end - start) / rate:.1f} s never reached Kafka"
        case StreamLoss(first_offset=first, last_offset=last):
            return f"lost: offsets {first}-{last} were deleted before reading, or are unreadable"
        case StreamWarning(message=message):
            return f"warning: {message}"
        case UtteranceFailed(utterance=utterance, reason=reason):
            return f"utterance {utterance} failed: {reason}; its audio is a dead letter"
        case _:
            return event.TYPE
