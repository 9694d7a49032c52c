"""How many threads a batch runs on: all of the model's, or half beside other busy processes.

The threads of a product wait for each other. Where another process has one of their cores, two
threads take three times as long as one, and twice its processor time. The batches themselves show
which number is faster now. One batch is little evidence, as batches differ in what they take: the
slower number is tried again soon, and less and less often while that confirms it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

TRY_S: Final = 5.0  # until the slower number is tried for the first time
TRY_INTERIM_S: Final = 10.0  # between two tries at most, on batches that no final waits for
TRY_FINAL_S: Final = 120.0  # the same on finals: one in fifty may be slow
_CLEARLY: Final = 0.8  # of the time that all threads take: half of them must be faster than that
_LATEST: Final = 0.5  # weight of the latest batch: a slow one changes the choice at once


@dataclass(slots=True)
class ThreadChoice:
    """What batches took on `most` threads and on half of them. Times are monotonic seconds."""

    most: int
    try_s: float = TRY_S  # until the slower number is tried again
    position_s: dict[int, float] = field(default_factory=dict)  # by the number of threads
    measured: dict[int, float] = field(default_factory=dict)  # when, likewise
    compared: float | None = None  # when the slower number was tried, or the faster one changed

    def choose(self, now: float, *, has_final: bool) -> int:
        """Return the number of threads of the next batch; one that was never tried goes first."""
        best, other = self._faster_first()
        try_s = self.try_s if has_final else min(self.try_s, TRY_INTERIM_S)
        since = now if self.compared is None else self.compared
        return other if now - since >= try_s else best

    def observe(self, threads: int, cost: int, seconds: float, now: float) -> None:
        """Note that a batch of `cost` positions took `seconds` up to `now`."""
        best = self._faster_first()[0]
        latest = seconds / cost
        usual = self.position_s.get(threads, latest)
        is_old = now - self.measured.get(threads, now) >= TRY_S
        self.position_s[threads] = latest if is_old else usual + _LATEST * (latest - usual)
        self.measured[threads] = now
        if self._faster_first()[0] != best:
            self.try_s, self.compared = TRY_S, now
        elif threads != best:
            self.try_s, self.compared = min(2 * self.try_s, TRY_FINAL_S), now

    def _faster_first(self) -> tuple[int, int]:
        few = max(1, self.most // 2)
        all_s, few_s = (self.position_s.get(threads, 0.0) for threads in (self.most, few))
        return (few, self.most) if few_s < _CLEARLY * all_s else (self.most, few)
