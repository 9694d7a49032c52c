"""When each piece of a text is spoken, from the times of its words."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from captions.timeline import Segment
from schemas.transcript import Word


class TimedPiece(NamedTuple):
    """A piece of a text between two possible ends of a line."""

    text: str  # with the space after it
    start_s: float
    end_s: float
    is_measured: bool  # its start is that of a word, not estimated from the length of the text


class _Run(NamedTuple):
    """A stretch of a text and the time in which it is spoken."""

    first: int  # character
    after: int
    start_s: float
    end_s: float

    def time_s(self, position: int) -> float:
        share = (position - self.first) / (self.after - self.first)
        return self.start_s + share * (self.end_s - self.start_s)


def timed(segment: Segment, pieces: Sequence[str]) -> list[TimedPiece]:
    """Return the pieces of a segment's text with their times, which never decrease."""
    found = _runs(segment.text, segment.words)
    runs = found or [_Run(0, max(len(segment.text), 1), segment.start_s, segment.end_s)]
    firsts = [run.first for run in runs]
    timed_pieces, first = [], 0
    for piece in pieces:
        after = first + len(piece.rstrip())
        start_s, end_s = _start_s(runs, firsts, first), _end_s(runs, firsts, after)
        is_measured = bool(found) and first in firsts
        timed_pieces.append(TimedPiece(piece, start_s, max(start_s, end_s), is_measured))
        first += len(piece)
    return timed_pieces


def _runs(text: str, words: Iterable[Word]) -> list[_Run]:
    """Return the words that occur in the text in this order; others are passed over."""
    runs: list[_Run] = []
    position, clock_s = 0, float("-inf")
    for word in words:
        first = text.find(word.text, position) if word.text else -1
        if first < 0:
            continue
        position = first + len(word.text)
        start_s = max(clock_s, word.start_s)
        clock_s = max(start_s, word.end_s)
        runs.append(_Run(first, position, start_s, clock_s))
    return runs


def _start_s(runs: Sequence[_Run], firsts: Sequence[int], position: int) -> float:
    """Return when the character at a position begins: between words, when the next one does."""
    at = bisect_right(firsts, position) - 1
    if at >= 0 and position < runs[at].after:
        return runs[at].time_s(position)
    return runs[at + 1].start_s if at + 1 < len(runs) else runs[-1].end_s


def _end_s(runs: Sequence[_Run], firsts: Sequence[int], after: int) -> float:
    """Return when the character before a position ends: between words, when the last one does."""
    at = bisect_right(firsts, after - 1) - 1
    if at < 0:
        return runs[0].start_s
    return runs[at].time_s(after) if after <= runs[at].after else runs[at].end_s
