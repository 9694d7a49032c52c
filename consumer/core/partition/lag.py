"""The lag of a partition: append time from the oldest work that is due to the end of its log.

Due are unread records, and closed utterances that are not published. Open utterances are not due.

The oldest unread record is not known, but it has waited since the last poll without waiting
records, or since the append time of the newest record that was read, whichever is later. So the lag
grows while nothing is fetched.

Append times are of the brokers' clock, which may differ from the local one. Each record gives a
lower bound of the difference, and the exact value if no record waited when it arrived. Without an
exact value the local clock is a lower bound, too.
"""

from __future__ import annotations

from math import inf


class Lag:
    """The lag of one partition; `now` is monotonic seconds, times in ms are append times."""

    def __init__(self, read_ms: int) -> None:
        """`read_ms`: append time of the newest record read before, 0 without one."""
        self._read_ms = read_ms
        self._ahead_ms = -inf  # lower bound of the brokers' clock minus `now`
        self._is_exact = False  # whether `_ahead_ms` is exact: a record did not wait
        self._caught_up_at: float | None = None  # None: records may always have waited
        self._is_caught_up = False

    def on_read(self, appended_ms: int, now: float) -> None:
        """Note that a record was read."""
        self._ahead_ms = max(self._ahead_ms, appended_ms - now * 1000)
        self._is_exact |= self._is_caught_up
        self._is_caught_up = False
        self._read_ms = max(self._read_ms, appended_ms)

    def on_poll(self, now: float, *, caught_up: bool) -> None:
        """Note a poll; `caught_up`: no record waits in Kafka."""
        self._is_caught_up = caught_up
        if caught_up:
            self._caught_up_at = now

    def ms(self, now: float, now_ms: int, waiting_since_ms: int | None) -> int:
        """Return the lag. `now_ms`: Unix time; `waiting_since_ms`: of the oldest ledger entry."""
        end_ms = self._end_ms(now, now_ms)
        waiting = 0.0 if waiting_since_ms is None else end_ms - waiting_since_ms
        return round(max(waiting, self._unread_ms(now, end_ms)))

    def _end_ms(self, now: float, now_ms: int) -> float:
        """Return the present append time."""
        broker_ms = now * 1000 + self._ahead_ms
        return broker_ms if self._is_exact else max(broker_ms, now_ms)

    def _unread_ms(self, now: float, end_ms: float) -> float:
        """Return an upper bound of how long the oldest unread record has waited."""
        since_read = [end_ms - self._read_ms] if self._read_ms else []
        since_poll = [] if self._caught_up_at is None else [(now - self._caught_up_at) * 1000]
        return 0.0 if self._is_caught_up else min(since_read + since_poll, default=0.0)
