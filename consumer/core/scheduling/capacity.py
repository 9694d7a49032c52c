"""How much one batch may hold, in encoder positions: rows times those of the longest row."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

POSITIONS_PER_S = 50  # encoder positions a second of audio


CONTEXT = 1500  # positions of Whisper's 30 s


_MARGIN_S = 0.3  # of padding that is kept as it is


_GROUP = 16  # padded positions that one folded position stands for


BATCH_S = 0.1  # what a batch should last: as long may the next utterance have to wait


OVERHEAD = 1 / 8  # largest share of a batch that may be its fixed cost, though it last longer


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold."""

    positions: int  # rows times the positions of the longest
    rows: int
    overhead: int = 0  # what a batch costs beside its rows, in positions


@dataclass(frozen=True, slots=True)
class BatchTiming:
    """How long a batch took at warm-up."""

    positions: int  # rows times the positions of the longest
    seconds: float


def positions(seconds: float) -> int:
    """Of a row of so much audio, once its padding is folded."""
    real = min(CONTEXT, ceil((seconds + _MARGIN_S) * POSITIONS_PER_S))
    return real + (CONTEXT - real) // _GROUP


def measured_budget(small: BatchTiming, large: BatchTiming, *, rows: int) -> Budget:
    """The budget of an engine whose time is a fixed cost and a cost a position.

    Two batches fix that line. One as large as the larger is always allowed: the machine may have
    been busy, and erring small costs more than erring large. Where the larger took no longer,
    positions cost nothing that could be seen, and `rows` alone bounds a batch.
    """
    position_s = (large.seconds - small.seconds) / (large.positions - small.positions)
    if position_s <= 0:
        return Budget(rows * CONTEXT, rows)
    fixed_s = max(0.0, small.seconds - small.positions * position_s)
    rows_s = max(BATCH_S - fixed_s, fixed_s * (1 / OVERHEAD - 1))
    worth = max(large.positions, round(rows_s / position_s))
    return Budget(min(worth, rows * CONTEXT), rows, round(fixed_s / position_s))


@dataclass(slots=True)
class Backpressure:
    """Two marks, so that fetching does not flutter around one."""

    pause_above_s: float  # seconds of speech that wait for the model
    resume_below_s: float
    is_paused: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.resume_below_s < self.pause_above_s:
            raise ValueError("the mark to resume below must lie under the mark to pause above")

    def update(self, waiting_s: float) -> bool:
        """Whether to fetch, given the seconds that wait now."""
        mark = self.resume_below_s if self.is_paused else self.pause_above_s
        self.is_paused = waiting_s > mark
        return not self.is_paused
