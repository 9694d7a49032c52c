"""When a chunk is due: a pure schedule, and the clock that waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RealtimeSchedule:
    """The times of a stream at the pace of speech: a chunk is due when its last sample is spoken.

    Every due time is counted from the stream's start, so that delays do not accumulate.
    """

    start_s: float  # monotonic seconds at which sample 0 is spoken
    start_ms: int  # the same moment as Unix time
    rate: int  # Hz

    def due_s(self, end: int) -> float:
        """Return when a chunk that ends before sample `end` is complete, in monotonic seconds."""
        return self.start_s + end / self.rate

    def captured_ms(self, start: int) -> int:
        """Return the Unix time at which sample `start` is spoken, however late it is sent."""
        return self.start_ms + start * 1000 // self.rate


class PublishClock(Protocol):
    """Reads the time and waits; injected, so that tests need not wait."""

    def now_s(self) -> float: ...  # monotonic seconds

    def now_ms(self) -> int: ...  # Unix time

    async def wait(self, delay_s: float, stop: asyncio.Event) -> None:
        """Return after `delay_s`, or as soon as `stop` is set. Always yields to other tasks."""


class RealtimeClock:
    """The machine's clock."""

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
