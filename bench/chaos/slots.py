"""Places for workers: whoever ends is started again, as an orchestrator would."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.chaos.commit_points import Point
from bench.chaos.control import order
from devstack.errors import DevstackError
from devstack.proxy import Link
from devstack.worker_process import WorkerProcess

_RESTART_S: Final = 2.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended."""

    at_s: float  # monotonic
    code: int  # below 0: by that signal


class Slot:
    """One place, with a link to the brokers of its own; `run` serves it until it is cancelled."""

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
        self.exits: list[Exit] = []
        self.log_file = folder / f"{name}.log"
        self._socket = folder / f"{name}.sock"
        self._settings = dict(settings) | {"bootstrap": link.bootstrap}
        self._arguments = arguments
        self._worker: WorkerProcess | None = None  # None: between two
        self._ready = asyncio.Event()
        self._exited = asyncio.Event()

    @property
    def url(self) -> str | None:
        """Of a worker that is ready."""
        return self._worker.url if self._worker is not None and self._ready.is_set() else None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            code = await self._live()
            self.exits.append(Exit(loop.time(), code))
            self._exited.set()
            await asyncio.sleep(_RESTART_S)

    async def _live(self) -> int:
        command = ["bench.chaos.worker", "--control", str(self._socket), *self._arguments]
        self._worker = worker = WorkerProcess(self._settings, self.log_file, command)
        try:
            with suppress(DevstackError):  # it has ended, or is as good as dead
                await worker.start()
                self._ready.set()
            return await worker.wait()
        finally:
            self._ready.clear()
            self._worker = None
            await worker.kill()

    async def try_out(
        self, until: str, within_s: float, then_s: float = 0.0, **settings: str
    ) -> tuple[int | None, str]:
        """Another worker with other settings: its exit status and its log.

        None: it had to be ended, `then_s` after it wrote `until`, or when the time was over.
        """
        log_file = self.log_file.with_suffix(".tried.log")
        log_file.write_bytes(b"")
        command = ["bench.chaos.worker", "--control", f"{self._socket}.tried", *self._arguments]
        worker = WorkerProcess(self._settings | settings, log_file, command)
        await worker.spawn()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while worker.exit_code is None and until not in log_file.read_text():  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)
                await asyncio.sleep(then_s)
        code = worker.exit_code
        await worker.kill()
        return code, log_file.read_text()

    async def ready(self) -> None:
        await self._ready.wait()

    def signal(self, number: signal.Signals) -> None:
        if self._worker is not None:
            self._worker.signal(number)

    async def exit(self, after: int) -> Exit:
        """The first exit behind so many."""
        while len(self.exits) <= after:
            self._exited.clear()
            await self._exited.wait()
        return self.exits[after]

    async def order(self, line: str) -> str:
        """Raises OSError when the worker does not answer."""
        return await order(self._socket, line)

    async def arm(self, point: Point) -> None:
        await self.order(f"die {point}")

    async def partitions(self, topic: str) -> frozenset[int]:
        """That the worker serves; none where it does not answer."""
        with suppress(OSError):
            told = (each.rpartition(":") for each in (await self.order("partitions")).split())
            return frozenset(int(number) for name, _, number in told if name == topic)
        return frozenset()

    def log_size(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def log_since(self, size: int) -> str:
        return self.log_file.read_bytes()[size:].decode("utf-8", "replace")
