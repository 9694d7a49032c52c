"""What the model and the memory can take: encoder positions of a batch, and when to stop fetching.

A batch costs its rows times the encoder positions of its longest row. Whisper pads every clip to
30 s, 1500 positions; a folded row computes those of its audio and a margin one by one, and one of
each group of the rest (docs/glossary.md: fold).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consumer.core.audio.utterance import WHISPER_RATE

CONTEXT: Final = 1500  # encoder positions of 30 s, in Whisper of every size
POSITION_SAMPLES: Final = WHISPER_RATE // 50  # a position is 20 ms
MARGIN: Final = 15  # positions after the audio that are computed one by one: 0.3 s
STRIDE: Final = 16  # padded positions that one stands for; 8 is no better, 32 costs accuracy

BATCH_S: Final = 0.1  # what a batch should last: as long may the next utterance have to wait
OVERHEAD: Final = (
    1 / 8
)  # largest share of a batch that may be its fixed cost, though it last longer


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


def real_positions(samples: int) -> int:
    """Return how many positions of a clip of `samples` at 16 kHz are computed one by one."""
    return min(CONTEXT, -(-samples // POSITION_SAMPLES) + MARGIN)


def folded_positions(samples: int) -> int:
    """Return how many positions a folded clip of `samples` at 16 kHz costs."""
    real = real_positions(samples)
    return real + -(-(CONTEXT - real) // STRIDE)


def positions(seconds: float) -> int:
    """Return how many positions a folded clip of that length costs."""
    return folded_positions(round(seconds * WHISPER_RATE))


def measured_budget(small: BatchTiming, large: BatchTiming, *, rows: int) -> Budget:
    """Return the budget of an engine whose time is a fixed cost and a cost a position.

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
    """Stops fetching above one mark and resumes below another, so that it does not flutter.

    Kafka is the only large buffer: memory holds seconds of waiting speech at most.
    """

    pause_above_s: float  # seconds of speech that wait for the model
    resume_below_s: float
    is_paused: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.resume_below_s < self.pause_above_s:
            raise ValueError("the mark to resume below must lie under the mark to pause above")

    def update(self, waiting_s: float) -> bool:
        """Return whether to fetch, given the seconds that wait now."""
        mark = self.resume_below_s if self.is_paused else self.pause_above_s
        self.is_paused = waiting_s > mark
        return not self.is_paused
