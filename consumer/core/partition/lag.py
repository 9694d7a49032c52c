"""How late a partition is: append time from the oldest work that is due to the end of its log.

Due is what nobody has read yet, and what has ended but is not published. An utterance that goes on
is not: nobody could write it yet.

What waits unread is not known, but since when: since nothing waited last, or since the newest
record that was read, whichever is later. So it grows while nothing is fetched. What time it is at
the log's end, the brokers' clock says, which is not ours. Every record tells how far it is ahead at
least, and how far exactly, if none waited when it came; until one did, it is taken to agree.
"""

from __future__ import annotations

from math import inf


class Lag:
    """Of one partition; `now` is monotonic seconds, everything in ms is append time."""

    def __init__(self, read_ms: int) -> None:
        """`read_ms`: of the newest record that was read before, 0 where none was."""
        self._read_ms = read_ms
        self._ahead_ms = -inf  # the brokers' clock, of `now`: at least
        self._is_told = False  # a record came fresh, so `_ahead_ms` is all
        self._caught_up_at: float | None = None  # None: a record may have waited ever since
        self._is_caught_up = False

    def on_read(self, appended_ms: int, now: float) -> None:
        """A record is taken in."""
        self._ahead_ms = max(self._ahead_ms, appended_ms - now * 1000)
        self._is_told |= self._is_caught_up
        self._is_caught_up = False
        self._read_ms = max(self._read_ms, appended_ms)

    def on_poll(self, now: float, *, caught_up: bool) -> None:
        """Kafka has been looked at; `caught_up`: no record waits in it."""
        self._is_caught_up = caught_up
        if caught_up:
            self._caught_up_at = now

    def ms(self, now: float, now_ms: int, waiting_since_ms: int | None) -> int:
        """`now_ms`: Unix time; `waiting_since_ms`: of the oldest that has ended and waits."""
        end_ms = self._end_ms(now, now_ms)
        waiting = 0.0 if waiting_since_ms is None else end_ms - waiting_since_ms
        return round(max(waiting, self._unread_ms(now, end_ms)))

    def _end_ms(self, now: float, now_ms: int) -> float:
        """What time it is where the log is written."""
        told_ms = now * 1000 + self._ahead_ms
        return told_ms if self._is_told else max(told_ms, now_ms)

    def _unread_ms(self, now: float, end_ms: float) -> float:
        """How long the oldest unread record may have waited, as far as it is known."""
        since_read = [end_ms - self._read_ms] if self._read_ms else []
        since_look = [] if self._caught_up_at is None else [(now - self._caught_up_at) * 1000]
        return 0.0 if self._is_caught_up else min(since_read + since_look, default=0.0)
