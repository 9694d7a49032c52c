"""How far behind a worker says it is, and what it holds, all along."""

from __future__ import annotations

import asyncio
import time
from typing import Final, NoReturn

import aiohttp

from bench.live.heard import Look
from bench.memory import resident
from bench.scraped import TIMEOUT, scraped
from devstack.worker_process import WorkerProcess

_EVERY_S: Final = 1.0
_LAG: Final = "streamscribe_lag_seconds"


async def watch(worker: WorkerProcess, looks: list[Look]) -> NoReturn:
    """Note what it says, until cancelled; nothing of a worker that tells nothing."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        while True:
            await asyncio.sleep(_EVERY_S)
            said = await scraped(session, worker.url)
            if lags := [sample.value for sample in said if sample.name == _LAG]:
                held_mb = resident(worker.pid).now_mb
                looks.append(Look(time.monotonic(), max(lags), held_mb))
