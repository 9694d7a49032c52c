"""How far behind a worker says it is, and what it holds, all along."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NoReturn

import aiohttp

from bench.live.heard import Look
from bench.scraped import TIMEOUT, scraped
from devstack.worker import Worker

_EVERY_S: Final = 1.0
_LAG: Final = "streamscribe_lag_seconds"
_RESIDENT: Final = "process_resident_memory_bytes"


async def watch(worker: Worker, looks: list[Look]) -> NoReturn:
    """Note what it says, until cancelled; nothing of a worker that tells nothing."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        while True:
            await asyncio.sleep(_EVERY_S)
            said = [(each.name, each.value) for each in await scraped(session, worker.url)]
            lags = [value for name, value in said if name == _LAG]
            resident = [value for name, value in said if name == _RESIDENT]
            if lags and resident:
                looks.append(Look(time.monotonic(), max(lags), resident[0] / 1e6))
