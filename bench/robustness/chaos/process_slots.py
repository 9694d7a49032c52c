"""Slots for processes: one that ends is started again, as an orchestrator would."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.engine.memory import resident
from bench.robustness.chaos.worker_control import WorkerControl
from devstack.errors import DevstackError
from devstack.worker_process import WorkerProcess

_RESTART_S: Final = 2.0
_POLL_S: Final = 0.1


class NotFired(Exception):  # noqa: N818 - no error: the fault does not count
    """There is no proof that a fault happened."""


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """The end of a process."""

    at_s: float  # monotonic
    code: int  # exit status; below 0: the signal that ended it


class ProcessSlot:
    """One process at a time; `run` starts it anew until cancelled.

    What faults ask for is new: it happened since the last `mark`.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, str],
        folder: Path,
        module: str,
        arguments: Sequence[str],
    ) -> None:
        self.name = name
        self.url: str | None = None  # HTTP address of the process; None: none is ready
        self.exits: list[ProcessExit] = []
        self.log_file = folder / f"{name}.log"
        self.log_file.touch()
        self.control = WorkerControl.create(folder / f"{name}.control")
        self.settings = dict(settings)
        self._command = (module, *arguments)
        self._process: WorkerProcess | None = None  # None: between two
        self._marked = (0, 0)  # number of exits, size of the log

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            code = await self._run_once()
            self.exits.append(ProcessExit(loop.time(), code))
            await asyncio.sleep(_RESTART_S)

    async def _run_once(self) -> int:
        self.control.reset()
        self._process = process = self.new_process(self.log_file)
        try:
            with suppress(DevstackError):  # it has ended, or hangs until a fault is over
                await process.start()
                self.url = process.url
            return await process.wait()
        finally:
            self.url = self._process = None
            await process.kill()

    def new_process(self, log_file: Path, **settings: str) -> WorkerProcess:
        """Return a process, not started; its control file is beside its log."""
        module, *arguments = self._command
        command = (module, "--control", str(log_file.with_suffix(".control")), *arguments)
        return WorkerProcess(self.settings | settings, log_file, command)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.signal(number)

    def heal(self) -> None:
        """Let the process run."""
        self.signal(signal.SIGCONT)

    @property
    def peak_mb(self) -> float:
        """The peak memory of the process; 0 between two."""
        return 0.0 if self._process is None else resident(self._process.pid).peak_mb

    # --- what happened since the last mark

    def mark(self) -> None:
        self._marked = len(self.exits), self.log_file.stat().st_size

    @property
    def new_exits(self) -> list[ProcessExit]:
        return self.exits[self._marked[0] :]

    @property
    def new_log(self) -> str:
        return self.log_file.read_bytes()[self._marked[1] :].decode("utf-8", "replace")

    async def ended(self, code: int, within_s: float) -> ProcessExit:
        """Return the first exit. Raises `NotFired` if it has another code, or comes too late."""
        if not await wait_until(lambda: bool(self.new_exits), within_s):
            raise NotFired(f"{self.name} has not ended within {within_s:.0f} s")
        ended = self.new_exits[0]
        if ended.code != code:
            raise NotFired(f"{self.name} ended with {ended.code}, not {code}")
        return ended

    async def logged(self, line: str, within_s: float) -> str:
        """Return the proof that the process has logged a line. Raises `NotFired` if it does not."""
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
