"""The largest number of streams whose latency stays within a limit: what to try next. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.live.systems import STREAMSCRIBE
from evaluation.report import Check, Figures, Sense

MAX_ERROR: Final = 0.1  # the answer may be too low by this share; below ten streams it is exact
MAX_STREAMS: Final = 1024
TIMES_PEER: Final = 3.0  # target: the streams of streamscribe over those of the peer


@dataclass(slots=True)
class CapacitySearch:
    """Doubles the streams until the limit is exceeded, then bisects.

    No number is tried twice, and a try may fail by chance: the answer errs low.
    """

    first: int
    tried: dict[int, bool] = field(default_factory=dict)  # streams -> within the limit

    @property
    def best(self) -> int:
        """The most streams within the limit; 0: not even one."""
        return max((streams for streams, is_within in self.tried.items() if is_within), default=0)

    def next(self) -> int | None:
        """Return the number to try next, or None when the answer is known."""
        if not self.tried:
            return self.first
        low = self.best
        failed = (n for n, is_within in self.tried.items() if not is_within and n > low)
        high = min(failed, default=None)
        if high is None:
            return 2 * low if 2 * low <= MAX_STREAMS else None
        if high - low <= max(1, int(MAX_ERROR * low)):
            return None
        return (low + high) // 2


def capacity_figures(searches: Mapping[str, CapacitySearch]) -> Figures:
    """Return the answer of each system and what was tried; `!` marks a failure."""
    found: Figures = {}
    for system, search in searches.items():
        tried = (f"{n}{'' if is_within else '!'}" for n, is_within in sorted(search.tried.items()))
        found |= {f"{system}.most_streams": search.best, f"{system}.tried": " ".join(tried)}
    return found


def capacity_checks(searches: Mapping[str, CapacitySearch]) -> Iterator[Check]:
    for peer in searches.keys() - {STREAMSCRIBE}:
        times = searches[STREAMSCRIBE].best / max(1, searches[peer].best)
        yield Check(f"times the streams of {peer}", times, TIMES_PEER, Sense.AT_LEAST)
