"""The engine in a process of its own, as a worker sees it.

`running` keeps the connection. When the engine is lost, the client connects to the next one and
submits all unanswered requests again, so a worker loses nothing and restarts nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.streams.records import Lane, Partition, UtteranceId
from consumer.engine import protocol
from consumer.engine.protocol import (
    Alive,
    Cancel,
    Dropped,
    EngineMessage,
    Failed,
    Hello,
    ProtocolError,
    Started,
    Transcribed,
    Welcome,
)
from consumer.engine.requests import MAX_LOSSES, RequestTable
from consumer.engine.shared_audio import WrittenAudio
from consumer.errors import DeviceLost, SttError
from consumer.interfaces import EngineInfo, EngineReport
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup

log = structlog.get_logger(__name__)

AUDIO_BYTES: Final = 64 << 20  # shared memory of a worker; requests beyond it wait in the worker
RECONNECT_S: Final = 0.2  # between two attempts to connect


@dataclass(slots=True)
class _Connection:
    """One connection to one engine, and what that engine is."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    welcome: Welcome

    def send(self, message: protocol.WorkerMessage) -> None:
        self.writer.write(protocol.frame(message))


class EngineClient:
    """`consumer.interfaces.Engine` over the engine process that listens at `path`.

    `connect` first; then `running` for as long as the worker serves.
    """

    def __init__(
        self,
        path: Path,
        metrics: Metrics,
        *,
        audio_bytes: int = AUDIO_BYTES,
        silent_s: float = protocol.SILENT_S,
    ) -> None:
        self._path = path
        self._silent_s = silent_s
        self._metrics = metrics
        self._audio = WrittenAudio(audio_bytes)
        self._requests = RequestTable(self._audio)
        self._connection: _Connection | None = None
        self._wakeup = Wakeup()
        self._is_draining = False

    async def connect(self) -> EngineInfo:
        """Wait for an engine and return what it is. Raises `SttError`: it is another version."""
        self._connection = await self._connected(waiting_since_lost=False)
        return self._connection.welcome.info

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the connection, and connect again after a loss.

        Raises `DeviceLost` if another model answers: the worker has to start again with it.
        """
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self._run(), name="engine connection")
                yield
                running.cancel()
        finally:
            await self.close()

    async def _run(self) -> None:
        assert self._connection is not None, "connect first"
        model = self._connection.welcome
        while True:
            error = await self._read_until_lost(self._connection)
            self._on_lost(error)
            self._connection = await self._connected(waiting_since_lost=True)
            if self._connection.welcome != model:
                raise DeviceLost("the engine has another model now: the worker must start again")
            log.info("engine connected again", requests=len(self._requests))
            self._send_waiting()

    async def until_lost(self) -> None:
        """Wait until the engine ends or is silent for too long."""
        assert self._connection is not None, "connect first"
        await self._read_until_lost(self._connection)

    async def close(self) -> None:
        if self._connection is not None:
            await _abort(self._connection.writer)
        self._audio.close()

    # --- consumer.interfaces.Engine

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._requests.add(job)
        self._send_waiting()
        self._wakeup.notify()

    def cancel(self, id_: UtteranceId) -> None:
        self._cancel(lambda job: job.is_final_of(id_))

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        self._cancel(lambda job: job.is_stale(epochs))

    async def next_report(self) -> EngineReport | None:
        while (report := self._requests.report()) is None:
            if self._is_draining and not self._requests:
                return None
            await self._wakeup.wait()
        return report

    def drain(self) -> None:
        self._is_draining = True
        self._wakeup.notify()

    def waiting_jobs(self) -> int:
        return sum(1 for _ in self._requests.waiting())

    def waiting_s(self, lane: Lane) -> float:
        return sum(job.utterance.seconds for job in self._requests.waiting(lane))

    # --- to the engine

    def _send_waiting(self) -> None:
        """Submit the requests that have room in the shared memory, in their order."""
        while self._connection is not None and (unsent := self._requests.next_unsent()):
            try:
                self._connection.send(protocol.submitted(*unsent))
            except ProtocolError as error:
                number, job, _ = unsent
                log.warning("job not sent", utterance=job.id.utterance, error=str(error))
                self._requests.on_answer(number, JobFailure(type(error).__name__))

    def _cancel(self, is_cancelled: Callable[[Job], bool]) -> None:
        """Cancel waiting jobs; those that were sent are forgotten once the engine drops them."""
        numbers = self._requests.cancel(is_cancelled)
        if numbers and self._connection is not None:
            self._connection.send(Cancel(numbers))

    # --- from the engine

    async def _read_until_lost(self, connection: _Connection) -> Exception:
        """Handle messages until the engine closes the connection, or is silent for too long."""
        try:
            while True:
                async with asyncio.timeout(self._silent_s):
                    payload = await protocol.read_payload(connection.reader)
                self._handle(protocol.engine_message(payload))
        except EOFError:
            return ConnectionError("it has closed the connection")
        except TimeoutError:
            return ConnectionError(f"silent for {self._silent_s:.0f} s")
        except (OSError, ProtocolError) as error:
            return error
        finally:
            await _abort(connection.writer)

    def _handle(self, message: EngineMessage) -> None:
        match message:
            case Started(numbers):
                self._requests.on_started(numbers)
            case Transcribed(number, text):
                self._requests.on_answer(number, text)
            case Failed(number, failure):
                self._requests.on_answer(number, failure)
            case Dropped(numbers):
                self._requests.on_dropped(numbers)
            case Alive():
                return
            case Welcome():
                raise ProtocolError("a second Welcome")
        self._send_waiting()
        self._wakeup.notify()

    # --- the connection

    def _on_lost(self, error: Exception) -> None:
        self._connection = None
        self._metrics.count("engine_losses")
        log.warning(
            "engine lost, connecting again",
            error=str(error),
            requests=len(self._requests),
            action=f"streamscribe engine --socket {self._path}, unless it restarts by itself",
        )
        for job in self._requests.on_lost():
            log.error(
                "utterance given up",
                stream=job.id.session.stream_id,
                utterance=job.id.utterance,
                engines=MAX_LOSSES,
                action="it is a dead letter: look at the engine's log for what ended it",
            )
        self._wakeup.notify()

    async def _connected(self, *, waiting_since_lost: bool) -> _Connection:
        """Connect as soon as an engine answers. Raises `SttError`: it is of another version."""
        is_logged = waiting_since_lost
        while True:
            try:
                async with asyncio.timeout(self._silent_s):
                    return await self._handshake()
            except (OSError, EOFError, TimeoutError) as error:
                if not is_logged:
                    log.info("waiting for the engine", path=str(self._path), error=str(error))
                is_logged = True
            await asyncio.sleep(RECONNECT_S)

    async def _handshake(self) -> _Connection:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connecting, str(self._path))
            hello = protocol.frame(Hello(protocol.VERSION, self._audio.size))
            socket.send_fds(connecting, [hello], [self._audio.descriptor])
            reader, writer = await asyncio.open_unix_connection(sock=connecting)
        except BaseException:
            connecting.close()
            raise
        try:
            return _Connection(reader, writer, await _welcome(reader))
        except BaseException:
            await _abort(writer)
            raise


async def _abort(writer: asyncio.StreamWriter) -> None:
    """Close the connection without waiting for a peer that may not read."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def _welcome(reader: asyncio.StreamReader) -> Welcome:
    """Return the engine's first message. Raises `SttError` if it is of another version."""
    try:
        message = protocol.engine_message(await protocol.read_payload(reader))
    except ProtocolError as error:
        raise SttError(f"not an engine of this version: {error}") from error
    if not isinstance(message, Welcome) or message.version != protocol.VERSION:
        raise SttError("the engine is of another version: start both from the same release")
    return message
