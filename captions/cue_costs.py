"""What makes one division of a text into cues better than another, as costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Final

from captions.line_breaks import FULL_LINE, width
from captions.word_times import TimedPiece

MIN_CUE_MS: Final = 800
MAX_CHARACTERS_PER_S: Final = 20

_LONG_S: Final = 7.0  # of one cue
_PAUSE_S: Final = 0.3  # between words: a place to end a cue
_LONG_PAUSE_S: Final = 1.0  # a cue should not last through it

_PER_CUE: Final = 6.0
_AFTER_SENTENCE: Final = 0.0
_AFTER_PAUSE: Final = 3.0
_AFTER_CLAUSE: Final = 4.0
_ELSEWHERE: Final = 10.0
_UNREADABLE: Final = 60.0  # times the share of the time to read it that is missing
_PER_LONG_SECOND: Final = 5.0
_PER_LONG_PAUSE: Final = 8.0
_UNBALANCED: Final = 12.0  # times the difference between two lines, in lines

_SENTENCE_END: Final = frozenset(".!?。！？…．｡؟।")
_CLAUSE_END: Final = frozenset(",;:，；：、､—–،")
_QUOTES: Final = "\"'”’」』）》〉】)]»"


class Measured:
    """The pieces of a text with sums, from which any stretch of them is assessed.

    A stretch is given by its first piece and the piece after its last.
    """

    def __init__(self, pieces: Sequence[TimedPiece], next_start_s: float | None) -> None:
        """`next_start_s`: when the next text begins, None: there is none."""
        self._pieces = pieces
        self._next_start_s = next_start_s
        self._widths = [0, *accumulate(width(piece.text) for piece in pieces)]
        self._bare = [width(piece.text.rstrip()) for piece in pieces]
        self._lengths = [0, *accumulate(len(piece.text) for piece in pieces)]
        pauses = [after.start_s - before.end_s for before, after in pairwise(pieces)]
        self._long_pauses = [0, *accumulate(pause >= _LONG_PAUSE_S for pause in pauses)]
        self._breaks = [
            *(break_cost(piece.text, pause) for piece, pause in zip(pieces, pauses, strict=False)),
            _AFTER_SENTENCE,  # the text ends there
        ]

    def ends(self, first: int) -> Iterator[int]:
        """Yield where a cue from `first` on may end: at least one piece, at most two lines."""
        second_line = first
        for after in range(first + 1, len(self._pieces) + 1):
            if self._width(first, after) <= FULL_LINE:
                second_line = after
            elif self._width(second_line, after) > FULL_LINE:
                return
            yield after

    def cost(self, first: int, after: int) -> float:
        """Return the cost of one cue."""
        last = after - 1
        duration_s = self._pieces[last].end_s - self._pieces[first].start_s
        return (
            _PER_CUE
            + self._breaks[last]
            + _UNREADABLE * self._unreadable(first, after)
            + _PER_LONG_SECOND * max(0.0, duration_s - _LONG_S)
            + _PER_LONG_PAUSE * (self._long_pauses[last] - self._long_pauses[first])
        )

    def second_line(self, first: int, after: int) -> int:
        """Return where the second line of a cue begins; `after`: it has one line."""
        if self._width(first, after) <= FULL_LINE:
            return after
        return min(
            (at for at in range(first + 1, after) if self._fits(first, at, after)),
            key=lambda at: self._line_cost(first, at, after),
        )

    def _fits(self, first: int, second_line: int, after: int) -> bool:
        lines = self._width(first, second_line), self._width(second_line, after)
        return max(lines) <= FULL_LINE

    def _line_cost(self, first: int, second_line: int, after: int) -> float:
        difference = self._width(first, second_line) - self._width(second_line, after)
        return self._breaks[second_line - 1] + _UNBALANCED * abs(difference) / FULL_LINE

    def _width(self, first: int, after: int) -> int:
        """Return the width of a stretch as one line, without the space at its end."""
        return self._widths[after - 1] - self._widths[first] + self._bare[after - 1]

    def _unreadable(self, first: int, after: int) -> float:
        """Return the share of the time to read a cue that the speech after it does not leave."""
        characters = self._lengths[after] - self._lengths[first]
        needed_s = max(MIN_CUE_MS / 1_000, characters / MAX_CHARACTERS_PER_S)
        until_s = self._start_s(after)
        if until_s is None:
            return 0.0
        return max(0.0, 1 - (until_s - self._pieces[first].start_s) / needed_s)

    def _start_s(self, at: int) -> float | None:
        return self._pieces[at].start_s if at < len(self._pieces) else self._next_start_s


def break_cost(text: str, pause_s: float) -> float:
    """Return the cost of a break after a piece of text that a pause follows."""
    bare = text.rstrip()
    last = (bare.rstrip(_QUOTES) or bare)[-1:]
    if last in _SENTENCE_END:
        return _AFTER_SENTENCE
    if pause_s >= _PAUSE_S:
        return _AFTER_PAUSE
    return _AFTER_CLAUSE if last in _CLAUSE_END else _ELSEWHERE
