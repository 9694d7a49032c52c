"""The largest number of streams that keeps a promise: what to try next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FINE: Final = 0.1  # the answer may be so much too low, as a share; below ten streams it is exact
MOST: Final = 1024  # streams that are tried


@dataclass(slots=True)
class Search:
    """Doubles until the promise is broken, then halves what is between.

    What is tried may fail by chance, but no number is tried twice: the answer errs low.
    """

    first: int
    tried: dict[int, bool] = field(default_factory=dict)  # streams -> whether it was kept

    @property
    def best(self) -> int:
        """The most streams with which it was kept; 0: not even with one."""
        return max((n for n, kept in self.tried.items() if kept), default=0)

    def told(self, streams: int, *, kept: bool) -> None:
        self.tried[streams] = kept

    def next(self) -> int | None:
        """How many to try; None: it is known."""
        return next_streams(self.tried, self.first)


def next_streams(tried: Mapping[int, bool], first: int) -> int | None:
    if not tried:
        return first
    low = max((n for n, kept in tried.items() if kept), default=0)
    high = min((n for n, kept in tried.items() if not kept and n > low), default=None)
    if high is None:
        return 2 * low if 2 * low <= MOST else None
    if high - low <= max(1, int(FINE * low)):
        return None
    return (low + high) // 2
