"""A real `streamscribe worker` as a child process that ends with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn, Self

import aiohttp

from devstack.errors import DevstackError
from devstack.parent_watchdog import watched
from devstack.ports import HOST, free_ports

_READY_TIMEOUT_S: Final = 120.0  # enough to load large-v3-turbo from a slow disk
_DRAIN_TIMEOUT_S: Final = 20.0
_POLL_S: Final = 0.1
_LOG_TAIL_LINES: Final = 12


async def _launch(command: Sequence[str], environ: Mapping[str, str], log_file: Path) -> Process:
    """Start a module with its arguments; it ends with this process."""
    with log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *watched(sys.executable, "-m", *command),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,  # Ctrl-C reaches only this process, which stops the worker
        )


class WorkerProcess:
    """A worker. Entering it waits for /readyz; leaving it drains it, after an error kills it.

    `settings`: overrides of this process's environment, by the names of `consumer.settings`.
    Raises DevstackError, with the end of its log, if it ends by itself or is not ready in time.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        log_file: Path,
        command: Sequence[str] = ("streamscribe", "worker"),
    ) -> None:
        """`command`: a module and its arguments."""
        (port,) = free_ports(1)
        self.url = f"http://{HOST}:{port}"
        own = {"http_host": HOST, "http_port": str(port), "log_format": "console"}
        self._environ = os.environ | {
            f"STREAMSCRIBE_{name.upper()}": text for name, text in (own | dict(settings)).items()
        }
        self._log_file = log_file
        self._command = command
        self._process: Process

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await (self.stop() if kind is None else self.kill())

    async def start(self) -> None:
        await self.spawn()
        try:
            await self._wait_ready()
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Send SIGTERM and wait until it has drained. Raises DevstackError if it fails to."""
        if (code := await self._drain()) != 0:
            raise self._failure(f"{describe_exit(code)} after SIGTERM")

    async def kill(self) -> None:
        """Send SIGKILL and wait until it has ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the worker has ended."""
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until it has ended and return its exit status."""
        return await self._process.wait()

    async def watch(self) -> NoReturn:
        """Raise DevstackError when the worker ends."""
        raise self._failure(describe_exit(await self._process.wait()))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.returncode

    async def spawn(self) -> None:
        """Start it without waiting for it to be ready."""
        self._process = await _launch(self._command, self._environ, self._log_file)

    async def _wait_ready(self) -> None:
        try:
            async with asyncio.timeout(_READY_TIMEOUT_S), aiohttp.ClientSession() as session:
                while not await self._is_ready(session):  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            raise self._failure(f"was not ready after {_READY_TIMEOUT_S:.0f} s") from error

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        if self._process.returncode is not None:
            await self.watch()
        try:
            async with session.get(f"{self.url}/readyz") as answer:
                return answer.ok
        except aiohttp.ClientConnectionError:
            return False  # the port is not open yet

    async def _drain(self) -> int:
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                return await self._process.wait()
        except TimeoutError as error:
            await self.kill()
            problem = f"did not stop within {_DRAIN_TIMEOUT_S:.0f} s"
            raise self._failure(problem) from error

    def _failure(self, problem: str) -> DevstackError:
        lines = self._log_file.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:]
        tail = "".join(f"  | {line}\n" for line in lines or ["(empty)"])
        return DevstackError(
            f"the worker {problem}; the end of its log ({self._log_file}):\n{tail}"
            "fix the problem it reports; `streamscribe worker --help` lists the settings"
        )


def describe_exit(code: int) -> str:
    """Return the meaning of a process's exit status."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL; did the machine run out of memory?)"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
