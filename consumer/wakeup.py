"""The wake-up signal of the pipeline's loops."""

from __future__ import annotations

import asyncio
import contextlib


class Wakeup:
    """Wakes one loop. Notifications before it wakes are merged; `close` ends the loop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def notify(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._closed = True
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when notified or after the timeout, False when closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()
        return not self._closed
