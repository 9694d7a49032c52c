"""How many threads a batch runs on: all of the model's, or half beside other busy processes.

The threads of a product wait for each other. Where another process has one of their cores, two
threads take three times as long as one, and twice its processor time. The batches themselves show
which number is faster now; the other one is tried again from time to time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

TRY_S: Final = 10.0  # between two tries of the slower number, on batches that no final waits for
TRY_FINAL_S: Final = 120.0  # the same on finals: one in fifty may be slow
_LATEST: Final = 0.5  # weight of the latest batch: a slow one changes the choice at once


@dataclass(slots=True)
class ThreadChoice:
    """What batches took on `most` threads and on half of them. Times are monotonic seconds."""

    most: int
    position_s: dict[int, float] = field(default_factory=dict)  # by the number of threads
    measured: dict[int, float] = field(default_factory=dict)  # when, likewise

    def choose(self, now: float, *, has_final: bool) -> int:
        """Return the number of threads of the next batch; one that was never tried goes first."""
        few = max(1, self.most // 2)
        best, other = sorted((self.most, few), key=lambda n: self.position_s.get(n, 0.0))
        is_due = now - self.measured.get(other, now) >= (TRY_FINAL_S if has_final else TRY_S)
        return other if is_due else best

    def observe(self, threads: int, cost: int, seconds: float, now: float) -> None:
        """Note that a batch of `cost` positions took `seconds` up to `now`."""
        latest = seconds / cost
        usual = self.position_s.get(threads, latest)
        is_old = now - self.measured.get(threads, now) >= TRY_S
        self.position_s[threads] = latest if is_old else usual + _LATEST * (latest - usual)
        self.measured[threads] = now
