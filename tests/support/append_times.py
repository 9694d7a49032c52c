"""Times between the appends of two records."""

from __future__ import annotations

import asyncio
import time


async def next_millisecond() -> int:
    """Return the Unix time in ms once it is later than now: the next append has that time or later.

    Brokers state the times of appends in milliseconds.
    """
    begun_ms = _unix_ms()
    while (now_ms := _unix_ms()) == begun_ms:  # noqa: ASYNC110 -- no event announces it
        await asyncio.sleep(0)
    return now_ms


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
