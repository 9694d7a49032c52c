"""When a chunk is due: pure arithmetic, and the one clock that reads the time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RealtimeSchedule:
    """A stream at the pace of speech: a sample is sent once it would have been heard.

    Every due time is counted from the stream's beginning, so that lateness never adds up.
    """

    start_s: float  # monotonic seconds at which sample 0 is heard
    start_ms: int  # the same moment as Unix time
    rate: int  # Hz

    def due_s(self, end: int) -> float:
        """When a chunk that ends before sample `end` is complete; monotonic seconds."""
        return self.start_s + end / self.rate

    def captured_ms(self, start: int) -> int:
        """Unix time at which sample `start` is heard, however late it is sent."""
        return self.start_ms + start * 1000 // self.rate


class PublishClock(Protocol):
    """The time, and waiting for it."""

    def now_s(self) -> float: ...  # monotonic seconds

    def now_ms(self) -> int: ...  # Unix time

    async def wait(self, delay_s: float, stop: asyncio.Event) -> None:
        """Return after `delay_s`, or at once when `stop` is set. Lets other streams run."""


class RealtimeClock:
    """The machine's own time."""

    def now_s(self) -> float:
        return time.monotonic()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def wait(self, delay_s: float, stop: asyncio.Event) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await stop.wait()
