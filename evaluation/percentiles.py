"""Percentiles of measured values and of Prometheus histograms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the nearest-rank percentile, a value that occurred, or None for no values."""
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)] if ranked else None


@dataclass(slots=True)
class BucketCounts:
    """A Prometheus histogram: cumulative counts by upper bound."""

    counts: Counter[float] = field(default_factory=Counter)

    def add(self, later: Mapping[float, float], before: Mapping[float, float]) -> None:
        """Add the counts of one process between two scrapes."""
        for bound, count in later.items():
            self.counts[bound] += int(count - before.get(bound, 0))

    @property
    def total(self) -> int:
        return max(self.counts.values(), default=0)

    def quantile(self, share: float) -> float | None:
        """Return the quantile as PromQL's histogram_quantile interpolates it; None if empty."""
        rank, low, below = share * self.total, 0.0, 0
        for bound, count in sorted(self.counts.items()):
            if count and count >= rank:
                fraction = (rank - below) / (count - below)
                return low if bound == float("inf") else low + (bound - low) * fraction
            low, below = bound, count
        return None
