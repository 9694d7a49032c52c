"""Events as lines of a terminal: time, stream, language and text.

    09:41:07  call-7        en  and so my fellow Americans ask not what your
                                country can do for you
    09:41:09  call-7        en  Ask not! (?)
    09:41:12  call-7            ended (end): 1 utterance, 11.0 s

`(?)` is a final that a person should check; improbable words are yellow. Columns are measured in
terminal cells: a Chinese character has two. Texts and ids are untrusted, so control characters are
printed as escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.text import Text

from captions.line_breaks import words
from schemas.transcript import (
    LOW_CONFIDENCE,
    AnyEvent,
    StreamEnded,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceFailed,
    UtteranceStarted,
    Verdict,
)
from subscriber.open_utterances import InterimEvent
from transport.console import count, local_time, printable

_GAP: Final = "  "  # between columns
_TIME_CELLS: Final = 8
_LANGUAGE_CELLS: Final = 3
_MIN_STREAM_CELLS: Final = 10  # the column grows with the ids ...
_MAX_STREAM_CELLS: Final = 24  # ... up to here
_MIN_TEXT_CELLS: Final = 20  # on a very narrow terminal

LAST_LINES: Final = 3  # of an open utterance
_UNCERTAIN: Final = "yellow"
_STABLE: Final = "bright_black"
_TENTATIVE: Final = "bright_black italic"
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

    def open_lines(self, event: InterimEvent) -> Text:
        """Return the last lines of an utterance that is still being spoken."""
        row = self._prefix(event, local_time(event.time_ms))
        return Text.assemble(row, self._wrapped(last_column(event), row.cell_len, LAST_LINES))

    def _wrapped(self, text: Text, indent: int, last: int | None = None) -> Text:
        if not self._console.is_terminal:
            return text
        lines = wrapped([text], self._console.width - indent)
        return Text(f"\n{' ' * indent}").join(lines[-last:] if last else lines)

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


def wrapped(texts: Sequence[Text], cells: int) -> list[Text]:
    """Return the texts, with spaces between them, in lines of so many terminal cells.

    A line has at least as many as a word needs.
    """
    cells = max(cells, _MIN_TEXT_CELLS)
    joined = Text(" ").join(texts)
    ends, position, used = [], 0, 0
    for part in (part for text in texts for part in parts(f"{text.plain} ", cells)):
        if used and used + cell_len(part.rstrip()) > cells:
            ends.append(position)
            used = 0
        position += len(part)
        used += cell_len(part)
    lines = [*joined.divide(ends)]
    for line in lines:
        line.rstrip()
    return lines


def parts(text: str, cells: int) -> Iterator[str]:
    """Yield the words of a text, those divided that are longer than a line."""
    for word in words(text):
        if cell_len(word.rstrip()) <= cells:
            yield word
        else:
            yield from chop_cells(word, cells)


def last_column(event: AnyEvent) -> Text:
    """Return the text of a final or partial, or the description of another event."""
    match event:
        case TranscriptFinal() if event.quality.verdict is not Verdict.SUPPRESSED:
            return final_text(event)
        case TranscriptPartial(stable_text=stable, tentative_text=tentative):
            parts = ((printable(stable).lstrip(), _STABLE), (printable(tentative), _TENTATIVE))
            return Text.assemble(*parts)
        case UtteranceStarted():
            return Text("…", _STABLE)
        case _:
            return Text(printable(description(event)), "dim")


def final_text(final: TranscriptFinal) -> Text:
    """Return the text of a final with its improbable words, or all of it, marked as uncertain."""
    text = Text(printable(final.text.strip()))
    position = 0
    for word in final.words or ():
        first = text.plain.find(printable(word.text), position)
        if first < 0:
            continue
        position = first + len(printable(word.text))
        if word.probability < LOW_CONFIDENCE:
            text.stylize(_UNCERTAIN, first, position)
    if final.quality.verdict is Verdict.REVIEW:
        text.append(" (?)", _UNCERTAIN)
    return text


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
