"""Subtitle cues from the segments of one stream.

A cue has at most two lines, ends where a sentence, a clause or a pause does if it can, and is shown
from its first word to its last. One that is too short to be read stays as long as the next one
leaves room, and may come a little early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, TypeAlias

from captions.cue_costs import MAX_CHARACTERS_PER_S, MIN_CUE_MS, Measured
from captions.line_breaks import pieces
from captions.timeline import Segment, SegmentKind
from captions.word_times import TimedPiece, timed

_LEAD_MS: Final = 500  # by which a cue may come before its speech

Lines: TypeAlias = tuple[tuple[TimedPiece, ...], ...]


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from one time to another."""

    start_ms: int
    end_ms: int  # exclusive, after the start
    lines: Lines  # one or two

    @property
    def texts(self) -> list[str]:
        """The lines as text."""
        return [_joined(line) for line in self.lines]

    @property
    def reading_ms(self) -> int:
        """For how long it should be shown at least."""
        characters = sum(len(text) for text in self.texts) + len(self.lines) - 1
        return max(MIN_CUE_MS, ceil(characters * 1_000 / MAX_CHARACTERS_PER_S))


def cues(segments: Iterable[Segment]) -> Iterator[Cue]:
    """Yield the cues of one stream's speech in the order of time; none overlaps another."""
    end_ms, waiting = 0, None
    for spoken in _spoken(segments):
        if waiting:
            cue = _shown(waiting, end_ms, spoken.start_ms)
            end_ms = cue.end_ms
            yield cue
        waiting = spoken
    if waiting:
        yield _shown(waiting, end_ms, None)


def _shown(spoken: Cue, free_from_ms: int, free_to_ms: int | None) -> Cue:
    """Return the cue, made longer within the free time around it as far as reading needs it."""
    start_ms = max(spoken.start_ms, free_from_ms)
    end_ms = max(spoken.end_ms, start_ms + spoken.reading_ms)
    if free_to_ms is not None:
        end_ms = max(min(end_ms, free_to_ms), start_ms + 1)
    earliest_ms = max(free_from_ms, start_ms - _LEAD_MS)
    start_ms = max(min(start_ms, end_ms - spoken.reading_ms), earliest_ms)
    return Cue(start_ms, end_ms, spoken.lines)


def _spoken(segments: Iterable[Segment]) -> Iterator[Cue]:
    """Yield the cues of all speech with the times of their words, which may overlap."""
    waiting: Segment | None = None
    for segment in segments:
        if segment.kind is not SegmentKind.SPEECH or not segment.text:
            continue
        if waiting:
            yield from _divided(waiting, segment.start_s)
        waiting = segment
    if waiting:
        yield from _divided(waiting, None)


def _divided(segment: Segment, next_start_s: float | None) -> Iterator[Cue]:
    """Yield the cues of one segment: the division whose costs have the smallest sum."""
    found = timed(segment, pieces(segment.text))
    text = Measured(found, next_start_s)
    size = len(found)
    best = [(0.0, size)] * (size + 1)  # the cost from a piece on, and where its cue ends
    for first in reversed(range(size)):
        best[first] = min(
            (text.cost(first, after) + best[after][0], after) for after in text.ends(first)
        )
    first = 0
    while first < size:
        after = best[first][1]
        yield _cue(found, first, text.second_line(first, after), after)
        first = after


def _cue(found: Sequence[TimedPiece], first: int, second_line: int, after: int) -> Cue:
    parts = (found[first:second_line], found[second_line:after])
    start_ms, end_ms = round(found[first].start_s * 1_000), round(found[after - 1].end_s * 1_000)
    return Cue(start_ms, end_ms, tuple(tuple(part) for part in parts if part))


def _joined(line: Sequence[TimedPiece]) -> str:
    return "".join(piece.text for piece in line).strip()
