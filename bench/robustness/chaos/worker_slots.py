"""Slots for workers: one that ends is started again, as an orchestrator would."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.engine.memory import resident
from bench.robustness.chaos.worker_control import WorkerControl
from bench.scraped import TIMEOUT, scraped
from devstack.errors import DevstackError
from devstack.proxy import Link
from devstack.worker_process import WorkerProcess
from schemas.topics import Topics

_MODULE: Final = "bench.robustness.chaos.worker"
_RESTART_S: Final = 2.0
_POLL_S: Final = 0.1
_LAG: Final = "streamscribe_lag_seconds"  # one sample for each partition that is served


class NotFired(Exception):  # noqa: N818 - no error: the fault does not count
    """There is no proof that a fault happened."""


@dataclass(frozen=True, slots=True)
class WorkerExit:
    """The end of a worker."""

    at_s: float  # monotonic
    code: int  # exit status; below 0: the signal that ended it


class WorkerSlot:
    """One worker at a time, with a link of its own; `run` starts it anew until cancelled.

    What faults ask for is new: it happened since the last `mark`.
    """

    def __init__(
        self,
        name: str,
        link: Link,
        settings: Mapping[str, str],
        folder: Path,
        arguments: Sequence[str],
    ) -> None:
        self.name = name
        self.link = link
        self.url: str | None = None  # HTTP address of the worker; None: none is ready
        self.exits: list[WorkerExit] = []
        self.log_file = folder / f"{name}.log"
        self.log_file.touch()
        self.control = WorkerControl.create(folder / f"{name}.control")
        self._settings = dict(settings) | {"bootstrap": link.bootstrap}
        self._arguments = arguments
        self._worker: WorkerProcess | None = None  # None: between two
        self._marked = (0, 0)  # number of exits, size of the log

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            code = await self._run_once()
            self.exits.append(WorkerExit(loop.time(), code))
            await asyncio.sleep(_RESTART_S)

    async def _run_once(self) -> int:
        self.control.reset()
        self._worker = worker = self._new_worker(self.log_file)
        try:
            with suppress(DevstackError):  # it has ended, or hangs until a fault is over
                await worker.start()
                self.url = worker.url
            return await worker.wait()
        finally:
            self.url = self._worker = None
            await worker.kill()

    def _new_worker(self, log_file: Path, **settings: str) -> WorkerProcess:
        """Return a worker, not started; its control file is beside its log."""
        command = (_MODULE, "--control", str(log_file.with_suffix(".control")), *self._arguments)
        return WorkerProcess(self._settings | settings, log_file, command)

    async def try_settings(
        self, until: str, within_s: float, then_s: float = 0.0, **settings: str
    ) -> tuple[int | None, str]:
        """Run another worker with other settings; return its exit status and its log.

        It is killed `then_s` after it logs `until`, or after `within_s`; then the status is None.
        """
        log_file = self.log_file.with_name(f"{self.name}-tried.log")
        log_file.write_bytes(b"")
        WorkerControl.create(log_file.with_suffix(".control"))
        worker = self._new_worker(log_file, **settings)
        await worker.spawn()
        await wait_until(
            lambda: worker.exit_code is not None or until in log_file.read_text(), within_s
        )
        await asyncio.sleep(then_s)
        code = worker.exit_code
        await worker.kill()
        return code, log_file.read_text()

    def signal(self, number: signal.Signals) -> None:
        if self._worker is not None:
            self._worker.signal(number)

    def heal(self) -> None:
        """Let the worker run, and everything between it and the brokers pass."""
        self.link.heal()
        self.signal(signal.SIGCONT)

    @property
    def peak_mb(self) -> float:
        """The peak memory of the worker; 0 between two."""
        return 0.0 if self._worker is None else resident(self._worker.pid).peak_mb

    async def partitions(self) -> frozenset[int]:
        """Return the audio partitions that the worker serves; none where it does not answer."""
        if self.url is None:
            return frozenset()
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            samples = await scraped(session, self.url)
        topic = Topics(self._settings["prefix"]).audio
        lags = (each.labels for each in samples if each.name == _LAG)
        return frozenset(int(each["partition"]) for each in lags if each["topic"] == topic)

    # --- what happened since the last mark

    def mark(self) -> None:
        self._marked = len(self.exits), self.log_file.stat().st_size

    @property
    def new_exits(self) -> list[WorkerExit]:
        return self.exits[self._marked[0] :]

    @property
    def new_log(self) -> str:
        return self.log_file.read_bytes()[self._marked[1] :].decode("utf-8", "replace")

    async def ended(self, code: int, within_s: float) -> WorkerExit:
        """Return the first exit. Raises `NotFired` if it has another code, or comes too late."""
        if not await wait_until(lambda: bool(self.new_exits), within_s):
            raise NotFired(f"{self.name} has not ended within {within_s:.0f} s")
        ended = self.new_exits[0]
        if ended.code != code:
            raise NotFired(f"{self.name} ended with {ended.code}, not {code}")
        return ended

    async def logged(self, line: str, within_s: float) -> str:
        """Return the proof that the worker has logged a line. Raises `NotFired` if it does not."""
        if not await wait_until(lambda: line in self.new_log, within_s):
            raise NotFired(f"{self.name} has not reported: {line}")
        return f"{self.name} reported: {line}"


async def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Poll until the condition holds, or the time is over; return whether it holds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    while not condition():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True
