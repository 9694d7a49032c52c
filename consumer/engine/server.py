"""The engine process: one planner and one model for all workers that connect to its socket.

Each connection has a serial number, which is put in front of the topic names of its jobs, so that
sessions of two workers are never taken for one. A worker that disconnects has its waiting jobs
dropped.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import structlog

from consumer.core.partition.step import Decode
from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.streams.records import Partition
from consumer.engine import protocol
from consumer.engine.local import LocalEngine
from consumer.engine.protocol import (
    Alive,
    Cancel,
    Dropped,
    EngineMessage,
    Failed,
    Hello,
    ProtocolError,
    Started,
    Submit,
    Transcribed,
    Welcome,
)
from consumer.engine.shared_audio import SharedAudio
from consumer.errors import ConfigError
from consumer.interfaces import EngineReport

log = structlog.get_logger(__name__)

MAX_AUDIO_BYTES: Final = 1 << 30  # of one worker
MAX_UNREAD_BYTES: Final = 64 << 20  # of replies that a worker does not read: it is disconnected
HELLO_S: Final = 10.0  # time for the first message
CLOSE_S: Final = 5.0  # time to read the last replies
_BACKLOG: Final = 128
_HELLO_BYTES: Final = 4096

Spawn: TypeAlias = Callable[[Coroutine[Any, Any, None]], object]


@dataclass(slots=True, eq=False)
class _ConnectedWorker:
    """A connected worker."""

    serial: int
    writer: asyncio.StreamWriter
    audio: SharedAudio
    jobs: dict[int, Job] = field(default_factory=dict)  # without a reply, by their numbers

    def send(self, message: EngineMessage) -> None:
        """Send a message, or disconnect a worker that does not read."""
        if self.writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.writer.transport.abort()
        elif not self.writer.is_closing():
            self.writer.write(protocol.frame(message))


class EngineServer:
    """Offers `engine` on the Unix socket at `path`, to processes of the same user."""

    def __init__(self, path: Path, engine: LocalEngine, welcome: Welcome) -> None:
        self._path = path
        self._engine = engine
        self._welcome = welcome
        self._serials = 0
        self._workers: set[_ConnectedWorker] = set()
        self._owners: dict[
            Job, tuple[_ConnectedWorker, int]
        ] = {}  # and its number; jobs without a reply

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Serve until `stop`, and reply to what is being decoded then; set `ready` when listening.

        Workers submit what was not decoded to the next engine. Raises `ConfigError` if the path
        cannot be used, `DeviceLost`.
        """
        listening = _listen(self._path)
        try:
            async with asyncio.TaskGroup() as group:
                serving = [
                    group.create_task(self._accept(listening, group.create_task)),
                    group.create_task(self._send_alive()),
                    group.create_task(self._stop_engine(stop)),
                ]
                ready.set()
                await self._report()
                for task in serving:
                    task.cancel()
                self._close_connections()
        finally:
            self._path.unlink(missing_ok=True)
            listening.close()

    async def _stop_engine(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._engine.stop()

    async def _send_alive(self) -> None:
        while True:
            await asyncio.sleep(protocol.ALIVE_S)
            for worker in self._workers:
                worker.send(Alive())

    def _close_connections(self) -> None:
        for worker in self._workers:
            worker.writer.close()
            asyncio.get_running_loop().call_later(CLOSE_S, worker.writer.transport.abort)

    # --- workers

    async def _accept(self, listening: socket.socket, spawn: Spawn) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connected, _ = await loop.sock_accept(listening)
            connected.setblocking(False)
            spawn(self._serve(connected))

    async def _serve(self, connected: socket.socket) -> None:
        """Serve one worker until it disconnects, or sends what is not a message."""
        try:
            worker, reader = await self._greet(connected)
        except (OSError, TimeoutError, ValueError, ProtocolError) as error:
            log.warning("connection rejected", error=str(error) or type(error).__name__)
            return
        log.info("worker connected", worker=worker.serial)
        try:
            await self._read(worker, reader)
        except (OSError, EOFError):
            log.info("worker disconnected", worker=worker.serial, jobs=len(worker.jobs))
        except (ValueError, ProtocolError) as error:
            log.warning("worker sent no message", worker=worker.serial, error=str(error))
        finally:
            self._drop(worker)

    async def _greet(
        self, connected: socket.socket
    ) -> tuple[_ConnectedWorker, asyncio.StreamReader]:
        """Map the worker's shared memory and answer its Hello; close the socket on an error."""
        try:
            async with asyncio.timeout(HELLO_S):
                await _readable(connected)
            audio = self._shared_audio(connected)
            reader, writer = await asyncio.open_unix_connection(sock=connected)
        except BaseException:
            connected.close()
            raise
        self._serials += 1
        worker = _ConnectedWorker(self._serials, writer, audio)
        self._workers.add(worker)
        worker.send(self._welcome)
        return worker, reader

    def _shared_audio(self, connected: socket.socket) -> SharedAudio:
        """Receive Hello. Raises `ProtocolError`, `ValueError`, `OSError`."""
        payload, descriptors, _, _ = socket.recv_fds(connected, _HELLO_BYTES, 1)
        try:
            return _mapped(payload, descriptors)
        except ProtocolError:
            connected.send(protocol.frame(self._welcome))  # the worker reports the versions
            raise
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    async def _read(self, worker: _ConnectedWorker, reader: asyncio.StreamReader) -> None:
        while True:
            message = protocol.worker_message(await protocol.read_payload(reader))
            match message:
                case Submit():
                    self._submit(worker, message)
                case Cancel(numbers):
                    jobs = {worker.jobs[number] for number in numbers if number in worker.jobs}
                    self._send_dropped(self._engine.discard(jobs))
                case Hello():
                    raise ProtocolError("a second Hello")

    def _submit(self, worker: _ConnectedWorker, message: Submit) -> None:
        job = protocol.with_samples(message.job, worker.audio.read(message.audio))
        job = _qualified(job, worker.serial)
        worker.jobs[message.number] = job
        self._owners[job] = worker, message.number
        self._engine.submit((job,))

    def _drop(self, worker: _ConnectedWorker) -> None:
        """Forget a worker; what is being decoded for it is not sent."""
        self._workers.discard(worker)
        self._engine.discard(set(worker.jobs.values()))
        for job in worker.jobs.values():
            del self._owners[job]
        worker.jobs.clear()
        worker.writer.close()
        worker.audio.close()

    # --- replies

    async def _report(self) -> None:
        """Pass on the reports of the engine until it stops."""
        while (report := await self._engine.next_report()) is not None:
            self._send(report)

    def _send(self, report: EngineReport) -> None:
        for worker, numbers in self._by_worker(report.started).items():
            worker.send(Started(numbers))
        self._send_dropped(report.dropped)
        for decode in report.decodes:
            self._send_decode(decode)

    def _send_dropped(self, jobs: Iterable[Job]) -> None:
        jobs = list(jobs)
        for worker, numbers in self._by_worker(jobs).items():
            worker.send(Dropped(numbers))
        for job in jobs:
            self._forget(job)

    def _send_decode(self, decode: Decode) -> None:
        if (owner := self._forget(decode.job)) is None:
            return
        worker, number = owner
        if isinstance(decode.text, JobFailure):
            worker.send(Failed(number, decode.text))
        else:
            worker.send(Transcribed(number, decode.text))

    def _by_worker(self, jobs: Iterable[Job]) -> dict[_ConnectedWorker, tuple[int, ...]]:
        """Return the numbers of the jobs whose workers are connected."""
        numbers: dict[_ConnectedWorker, list[int]] = defaultdict(list)
        for owner in filter(None, map(self._owners.get, jobs)):
            numbers[owner[0]].append(owner[1])
        return {worker: tuple(of_worker) for worker, of_worker in numbers.items()}

    def _forget(self, job: Job) -> tuple[_ConnectedWorker, int] | None:
        """Return the worker and the number of a job that is answered, if it is connected."""
        owner = self._owners.pop(job, None)
        if owner is not None:
            del owner[0].jobs[owner[1]]
        return owner


def _qualified(job: Job, serial: int) -> Job:
    """Return the job with a partition that only this connection has."""
    session = job.id.session
    partition = Partition(f"{serial}/{session.partition.topic}", session.partition.number)
    return replace(job, id=job.id._replace(session=session._replace(partition=partition)))


def _mapped(payload: bytes, descriptors: list[int]) -> SharedAudio:
    """Return the memory of a worker, given its first frame and the descriptors with it.

    Raises `ProtocolError`, `ValueError`, `OSError`.
    """
    hello = protocol.worker_message(payload[protocol.LENGTH_BYTES :])
    if not isinstance(hello, Hello) or hello.version != protocol.VERSION or not descriptors:
        raise ProtocolError("a worker of another version: start both from the same release")
    if not 0 < hello.audio_bytes <= MAX_AUDIO_BYTES:
        raise ValueError(f"shared memory of {hello.audio_bytes} bytes")
    return SharedAudio(descriptors[0], hello.audio_bytes)


async def _readable(connected: socket.socket) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connected, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connected)


def _listen(path: Path) -> socket.socket:
    """Listen at `path`, which only this user can open. Raises `ConfigError`."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.setblocking(False)
    try:
        _remove_stale(path)
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(mask)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen at {path}: {error.strerror or error}; choose another path (up to some "
            "100 characters, in a folder of this user) with --socket"
        ) from error
    except ConfigError:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of an engine that has ended. Raises `ConfigError`, `OSError`."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{path} exists and is no socket; choose another path with --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CLOSE_S)  # it may hang
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise ConfigError(f"another engine listens at {path}; stop it, or choose another path")
