"""`streamscribe worker --ingest N`: one engine process, and N workers on it.

A process that ends is started again, after a pause that doubles while it keeps ending; one that
rejects its settings ends all. An engine that is silent is killed. SIGTERM drains the workers, then
stops the engine. If the supervisor is killed, its processes end, too (Linux).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import structlog

from consumer.engine.client import EngineClient
from consumer.errors import ConfigError
from consumer.metrics import Metrics
from consumer.settings import Settings
from transport.environment import variable

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 1.0  # before a process is started again
LONGEST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0  # a process that ran this long gets the first pause again
MARGIN_S: Final = 10.0  # to end after `drain_s`, before a process is killed
_CONFIG_EXIT: Final = 2
_WATCH_BYTES: Final = 4096  # of the shared memory of the connection that watches the engine
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    socket: Path | None = None  # of an engine: to be killed when it is silent there


async def supervise(settings: Settings, stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Run the processes until `stop`; set `ready` once they are started.

    Raises `ConfigError` if one of them rejects its settings; it has printed why.
    """
    with tempfile.TemporaryDirectory(prefix="streamscribe-") as folder:
        engine, *workers = children(settings, Path(folder) / "engine.sock", os.environ)
        supervisor = Supervisor(settings.drain_s + MARGIN_S)
        await supervisor.run(engine, workers, stop, ready)


def children(settings: Settings, path: Path, environ: Mapping[str, str]) -> list[Child]:
    """Return the engine and the workers. Each has a port of its own, after `http_port`."""
    own = {variable(field.name): str(getattr(settings, field.name)) for field in fields(Settings)}
    own |= {variable("engine"): str(path), variable("ingest"): "0"}

    def child(name: str, command: str, index: int, socket: Path | None = None) -> Child:
        port = settings.http_port + index if settings.http_port else 0
        environment = {**environ, **own, variable("http_port"): str(port)}
        return Child(name, (sys.executable, "-m", "streamscribe", command), environment, socket)

    workers = (child(f"worker {n}", "worker", n) for n in range(1, settings.ingest + 1))
    return [child("engine", "engine", 0, path), *workers]


class Supervisor:
    """Keeps an engine and its workers running."""

    def __init__(self, stop_within_s: float, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._stop_within_s = stop_within_s
        self._first_pause_s = first_pause_s

    async def run(
        self, engine: Child, workers: Sequence[Child], stop: asyncio.Event, ready: asyncio.Event
    ) -> None:
        """Run until `stop`, and end the engine last. Raises `ConfigError`."""
        engine_stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(engine, engine_stop))
            keeping = [group.create_task(self._keep(worker, stop)) for worker in workers]
            ready.set()
            await asyncio.wait(keeping)
            engine_stop.set()

    async def _keep(self, child: Child, stop: asyncio.Event) -> None:
        """Start the process again whenever it ends, until `stop`."""
        loop, pause_s = asyncio.get_running_loop(), self._first_pause_s
        while not stop.is_set():
            began = loop.time()
            code = await self._run_once(child, stop)
            if stop.is_set():
                return
            if code == _CONFIG_EXIT:
                raise ConfigError(f"the {child.name} rejected its settings: see its message above")
            pause_s = self._first_pause_s if loop.time() - began > STEADY_S else pause_s
            log.error("process ended, starting again", process=child.name, code=code, in_s=pause_s)
            await _set_within(stop, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_once(self, child: Child, stop: asyncio.Event) -> int:
        """Run the process until it ends, or `stop` and it has drained; return its exit status."""
        process = await asyncio.create_subprocess_exec(
            *child.command,
            env=child.environ,
            stdin=DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only the supervisor, which drains all
            preexec_fn=_end_with_parent,
        )
        log.info("process started", process=child.name, pid=process.pid)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._stop(process, stop))]
                if child.socket is not None:
                    beside.append(group.create_task(_watch(child.socket, process)))
                code = await process.wait()
                for task in beside:
                    task.cancel()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return code

    async def _stop(self, process: Process, stop: asyncio.Event) -> None:
        """Drain the process once `stop` is set; kill it if it does not end in time."""
        await stop.wait()
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(self._stop_within_s)
        log.error("process has not ended, killing it", pid=process.pid)
        process.kill()


async def _watch(socket: Path, process: Process) -> None:
    """Kill an engine that is silent; it may be stopped or hang outside a batch."""
    client = EngineClient(socket, Metrics(), audio_bytes=_WATCH_BYTES)
    try:
        await client.connect()
        await client.until_lost()
    finally:
        await client.close()
    if process.returncode is None:
        log.error("engine lost, killing it", pid=process.pid)
        process.kill()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event for `seconds` at most; return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _end_with_parent() -> None:
    """Let the kernel send SIGTERM when the parent ends. No effect where that is not Linux."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
