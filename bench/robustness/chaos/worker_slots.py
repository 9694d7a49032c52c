"""Slots for workers, each with a link of its own, and the slot of an engine process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp

from bench.robustness.chaos.process_slots import ProcessSlot, wait_until
from bench.robustness.chaos.worker_control import WorkerControl
from bench.scraped import TIMEOUT, scraped
from devstack.proxy import Link
from schemas.topics import Topics

_WORKER: Final = "bench.robustness.chaos.worker"
_ENGINE: Final = "bench.robustness.chaos.engine"
_LAG: Final = "streamscribe_lag_seconds"  # one sample for each partition that is served


def engine_slot(
    socket: Path, settings: Mapping[str, str], folder: Path, arguments: Sequence[str]
) -> ProcessSlot:
    """Return the slot of the engine process that listens at `socket`."""
    return ProcessSlot("engine", {**settings, "engine": str(socket)}, folder, _ENGINE, arguments)


class WorkerSlot(ProcessSlot):
    """The slot of a worker."""

    def __init__(
        self,
        name: str,
        link: Link,
        settings: Mapping[str, str],
        folder: Path,
        arguments: Sequence[str],
    ) -> None:
        super().__init__(
            name, {**settings, "bootstrap": link.bootstrap}, folder, _WORKER, arguments
        )
        self.link = link

    async def try_settings(
        self, until: str, within_s: float, then_s: float = 0.0, **settings: str
    ) -> tuple[int | None, str]:
        """Run another worker with other settings; return its exit status and its log.

        It is killed `then_s` after it logs `until`, or after `within_s`; then the status is None.
        """
        log_file = self.log_file.with_name(f"{self.name}-tried.log")
        log_file.write_bytes(b"")
        WorkerControl.create(log_file.with_suffix(".control"))
        worker = self.new_process(log_file, **settings)
        await worker.spawn()
        await wait_until(
            lambda: worker.exit_code is not None or until in log_file.read_text(), within_s
        )
        await asyncio.sleep(then_s)
        code = worker.exit_code
        await worker.kill()
        return code, log_file.read_text()

    def heal(self) -> None:
        """Let the worker run, and everything between it and the brokers pass."""
        self.link.heal()
        super().heal()

    async def partitions(self) -> frozenset[int]:
        """Return the audio partitions that the worker serves; none where it does not answer."""
        if self.url is None:
            return frozenset()
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            samples = await scraped(session, self.url)
        topic = Topics(self.settings["prefix"]).audio
        lags = (each.labels for each in samples if each.name == _LAG)
        return frozenset(int(each["partition"]) for each in lags if each["topic"] == topic)
