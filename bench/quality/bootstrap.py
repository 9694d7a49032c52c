"""The difference of two error rates with its interval: the paired bootstrap over clips.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004: clips are drawn with replacement, the errors of both systems together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.report import Figures
from evaluation.scoring import Score

RESAMPLES: Final = 10_000
SEED: Final = 20_261_123
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Difference:
    """A system's error rate minus a reference system's, in points (hundredths)."""

    points: float  # above 0: worse than the reference
    low_points: float  # of the interval that contains it with CONFIDENCE
    high_points: float

    def __str__(self) -> str:
        return f"{self.points:+.2f} [{self.low_points:+.2f}, {self.high_points:+.2f}]"

    def figures(self, name: str) -> Figures:
        return {
            f"{name}_points": self.points,
            f"{name}_low_points": self.low_points,
            f"{name}_high_points": self.high_points,
        }


def paired(
    system: Sequence[Score], reference: Sequence[Score], resamples: int = RESAMPLES
) -> Difference:
    """Compare scores on the same clips in the same order. Raises ValueError without any."""
    if not system:
        raise ValueError("no clips to compare on")
    lengths = np.array([one.length for one in reference])
    excess = np.array([a.errors - b.errors for a, b in zip(system, reference, strict=True)])
    drawn = np.random.default_rng(SEED).integers(len(lengths), size=(resamples, len(lengths)))
    points = 100 * excess[drawn].sum(axis=1) / lengths[drawn].sum(axis=1)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(points, [tail, 100 - tail])
    return Difference(float(100 * excess.sum() / lengths.sum()), float(low), float(high))
