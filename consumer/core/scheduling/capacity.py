"""Limits: the encoder positions of a batch, and back-pressure on reading.

A batch costs its rows times the encoder positions of its longest row. Whisper pads every clip to
30 s, 1500 positions. A folded row computes the positions of its audio and a margin one by one, and
one position for each group of the rest (docs/glossary.md: fold).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from consumer.core.audio.utterance import WHISPER_RATE

CONTEXT: Final = 1500  # encoder positions of 30 s, for every size of Whisper
POSITION_SAMPLES: Final = WHISPER_RATE // 50  # a position is 20 ms
MARGIN: Final = 15  # positions after the audio that are computed one by one: 0.3 s
STRIDE: Final = 16  # padded positions folded into one; 8 is no better, 32 costs accuracy

BATCH_S: Final = 0.1  # target duration of a batch: the next utterance may wait as long
OVERHEAD: Final = 1 / 8  # largest share of the fixed cost of a batch, even if it takes longer


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that a model decodes together: it divides a larger batch into several."""

    rows: int
    positions: int  # rows times the positions of the longest


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one batch."""

    positions: int  # rows times the positions of the longest
    rows: int
    overhead: int = 0  # fixed cost of a batch, in positions
    folded: bool = True  # whether the model folds; else every row costs CONTEXT positions


@dataclass(frozen=True, slots=True)
class BatchTiming:
    """The duration of a batch at warm-up."""

    positions: int  # rows times the positions of the longest
    seconds: float


def real_positions(samples: int) -> int:
    """Return how many positions of a clip of `samples` at 16 kHz are not folded."""
    return min(CONTEXT, -(-samples // POSITION_SAMPLES) + MARGIN)


def folded_positions(samples: int) -> int:
    """Return how many positions a folded clip of `samples` at 16 kHz costs."""
    real = real_positions(samples)
    return real + -(-(CONTEXT - real) // STRIDE)


def positions(seconds: float) -> int:
    """Return how many positions a folded clip of `seconds` costs."""
    return folded_positions(round(seconds * WHISPER_RATE))


def limited(budget: Budget, limits: BatchLimits, *, folded: bool) -> Budget:
    """Return the budget within the limits of a model, which folds or not."""
    return replace(
        budget,
        positions=min(budget.positions, limits.positions),
        rows=min(budget.rows, limits.rows),
        folded=folded,
    )


def measured_budget(small: BatchTiming, large: BatchTiming, *, rows: int) -> Budget:
    """Return the budget of an engine, given two batches that it decoded.

    The time of a batch is taken to be a fixed cost and a cost per position. A batch as large as
    `large` is always allowed, because the machine may have been busy, and too small a budget costs
    more than too large a one. If `large` took no longer than `small`, only `rows` limits a batch.
    """
    position_s = (large.seconds - small.seconds) / (large.positions - small.positions)
    if position_s <= 0:
        return Budget(rows * CONTEXT, rows)
    fixed_s = max(0.0, small.seconds - small.positions * position_s)
    rows_s = max(BATCH_S - fixed_s, fixed_s * (1 / OVERHEAD - 1))
    most = max(large.positions, round(rows_s / position_s))
    return Budget(min(most, rows * CONTEXT), rows, round(fixed_s / position_s))


@dataclass(slots=True)
class Backpressure:
    """Pauses reading above one mark and resumes below another (hysteresis).

    Kafka is the only large buffer: the waiting speech in memory is bounded.
    """

    pause_above_s: float  # seconds of speech in the queue of the model
    resume_below_s: float
    is_paused: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.resume_below_s < self.pause_above_s:
            raise ValueError("`resume_below_s` must be below `pause_above_s`")

    def update(self, waiting_s: float) -> bool:
        """Return whether to read, given the seconds of speech that wait now."""
        mark = self.resume_below_s if self.is_paused else self.pause_above_s
        self.is_paused = waiting_s > mark
        return not self.is_paused
