"""How long things took: pure figures from what was seen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.chaos.arena import Kill
from bench.chaos.evidence import Seen, Sent
from schemas.transcript import TranscriptFinal

LAST_WORDS_S: Final = 2.0  # what a worker committed before it was killed may be seen so much later


def takeovers(kills: Iterable[Kill], seen: Sequence[Seen]) -> list[float]:
    """Seconds from each kill to the next final of one of the partitions that were served."""
    times: defaultdict[int, list[float]] = defaultdict(list)
    for each in seen:
        if isinstance(each.event, TranscriptFinal):
            times[each.partition].append(each.at_s)
    took = []
    for kill in kills:
        later = [
            at_s - kill.at_s
            for partition in kill.partitions
            for at_s in times[partition]
            if at_s > kill.at_s + LAST_WORDS_S
        ]
        took += [min(later)] if later else []
    return took


def waits(
    sent: Iterable[Sent], seen: Iterable[Seen], begin_s: float = 0.0, end_s: float = float("inf")
) -> list[float]:
    """Seconds from the record that ends an utterance to its final, both as readers saw them."""
    came = {(each.partition, each.offset): each.at_s for each in sent}
    return [
        each.at_s - came[each.partition, each.event.source.last_offset]
        for each in seen
        if isinstance(each.event, TranscriptFinal) and begin_s <= each.at_s <= end_s
    ]


def quantile(values: Sequence[float], share: float) -> float | None:
    """None: there are no values."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else None


@dataclass(slots=True)
class Histogram:
    """Counts up to each upper bound, cumulative, as Prometheus tells them."""

    counts: Counter[float] = field(default_factory=Counter)

    def add(self, later: Mapping[float, float], before: Mapping[float, float]) -> None:
        """What came between two looks at the same process."""
        for bound, count in later.items():
            self.counts[bound] += int(count - before.get(bound, 0))

    @property
    def total(self) -> int:
        return max(self.counts.values(), default=0)

    def quantile(self, share: float) -> float | None:
        """Interpolated within its bucket, as PromQL does; None: nothing was counted."""
        wanted, low, below = share * self.total, 0.0, 0
        for bound, count in sorted(self.counts.items()):
            if count and count >= wanted:
                inside = (wanted - below) / (count - below)
                return low if bound == float("inf") else low + (bound - low) * inside
            low, below = bound, count
        return None
