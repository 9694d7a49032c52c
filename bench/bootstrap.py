"""How sure a difference of two error rates is: the paired bootstrap over clips.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004: clips are drawn with replacement, both systems' errors together, rates taken anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.scoring import Score

RESAMPLES: Final = 10_000
SEED: Final = 20_261_123
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one system's error rate from a reference system's; points are hundredths."""

    points: float  # above 0: worse than the reference
    low_points: float  # of the interval that holds it with CONFIDENCE
    high_points: float

    def __str__(self) -> str:
        return f"{self.points:+.2f} [{self.low_points:+.2f}, {self.high_points:+.2f}]"


def paired(
    system: Sequence[Score], reference: Sequence[Score], resamples: int = RESAMPLES
) -> Difference:
    """Both scored on the same clips in the same order. Raises ValueError for none."""
    if not system:
        raise ValueError("no clips to compare on")
    lengths = np.array([one.length for one in reference])
    excess = np.array([a.errors - b.errors for a, b in zip(system, reference, strict=True)])
    drawn = np.random.default_rng(SEED).integers(len(lengths), size=(resamples, len(lengths)))
    points = 100 * excess[drawn].sum(axis=1) / lengths[drawn].sum(axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(points, [tail, 100 - tail])
    return Difference(float(100 * excess.sum() / lengths.sum()), float(low), float(high))
