"""The engine in a process of its own, as a worker sees it.

    submit ─► unanswered requests ─► Submit ─► engine ─► Started, Transcribed | Failed | Dropped

`running` keeps the connection. When the engine is lost, the client connects to the next one and
submits all unanswered requests again, so a worker loses nothing and restarts nothing. Utterances
whose decode had begun may have ended the engine: they are decoded alone and without interims, and
given up after MAX_LOSSES engines.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from consumer.core.partition.step import Decode
from consumer.core.scheduling.jobs import Job, JobFailure, JobKind
from consumer.core.streams.records import Lane, Partition, UtteranceId
from consumer.core.text.hypothesis import TimedHypothesis
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
from consumer.engine.shared_audio import AudioBlock, WrittenAudio
from consumer.errors import DeviceLost, SttError
from consumer.interfaces import EngineInfo, EngineReport
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup

log = structlog.get_logger(__name__)

AUDIO_BYTES: Final = 64 << 20  # shared memory of a worker; requests beyond it wait in the worker
MAX_LOSSES: Final = 3  # engines that one utterance may end
MAX_SUSPECTS: Final = 1024  # utterances whose losses are counted; the oldest is forgotten
RECONNECT_S: Final = 0.2  # between two attempts to connect
_LOST: Final = "EngineLost"  # the error of a request that was given up


@dataclass(slots=True, eq=False)
class _Request:
    """A job without a reply."""

    number: int
    job: Job
    block: AudioBlock | None = None  # its samples in the shared memory; None: not sent
    is_started: bool = False
    is_cancelled: bool = False  # the reply is ignored

    @property
    def waits(self) -> bool:
        return not (self.is_started or self.is_cancelled)


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
        self._requests: dict[int, _Request] = {}  # in the order of their submission
        self._unsent: deque[_Request] = deque()
        self._losses: dict[UtteranceId, int] = {}  # engines that were lost while they decoded it
        self._numbers = 0
        self._connection: _Connection | None = None
        self._started: list[Job] = []  # not reported yet, as the two below
        self._decodes: list[Decode] = []
        self._dropped: list[Job] = []
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
            await _close(self._connection.writer)
        self._audio.close()

    # --- consumer.interfaces.Engine

    def submit(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.kind is JobKind.INTERIM and job.id in self._losses:
                self._dropped.append(job)
                self._wakeup.notify()
                continue
            self._numbers += 1
            request = _Request(self._numbers, job)
            self._requests[request.number] = request
            self._unsent.append(request)
        self._send_waiting()

    def cancel(self, id_: UtteranceId) -> None:
        self._cancel(lambda job: job.id == id_ and job.kind is JobKind.FINAL)

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        self._cancel(lambda job: epochs.get(job.id.session.partition) != job.epoch)

    async def next_report(self) -> EngineReport | None:
        while not (self._started or self._decodes or self._dropped):
            if self._is_draining and not self._requests:
                return None
            await self._wakeup.wait()
        report = EngineReport(self._started, self._decodes, self._dropped)
        self._started, self._decodes, self._dropped = [], [], []
        return report

    def drain(self) -> None:
        self._is_draining = True
        self._wakeup.notify()

    def waiting_jobs(self) -> int:
        return sum(request.waits for request in self._requests.values())

    def waiting_s(self, lane: Lane) -> float:
        waiting = (each.job for each in self._requests.values() if each.waits)
        return sum(job.utterance.seconds for job in waiting if job.lane is lane)

    # --- to the engine

    def _send_waiting(self) -> None:
        """Submit the requests that have room in the shared memory, in their order."""
        while self._unsent and self._connection is not None:
            request = self._unsent[0]
            request.block = self._audio.write(request.job.utterance.samples)
            if request.block is None:
                return
            self._unsent.popleft()
            self._submit(self._connection, request, request.block)

    def _submit(self, connection: _Connection, request: _Request, block: AudioBlock) -> None:
        job = replace(request.job, isolated=True) if request.job.id in self._losses else request.job
        try:
            connection.send(protocol.submitted(request.number, job, block))
        except ProtocolError as error:
            log.warning("job not sent", utterance=job.id.utterance, error=str(error))
            self._answer(request.number, JobFailure(type(error).__name__))

    def _cancel(self, is_cancelled: Callable[[Job], bool]) -> None:
        """Cancel waiting jobs; those that were sent are forgotten once the engine drops them."""
        cancelled = [each for each in self._requests.values() if each.waits]
        cancelled = [request for request in cancelled if is_cancelled(request.job)]
        for request in cancelled:
            request.is_cancelled = True
            if request.block is None:
                self._unsent.remove(request)
                del self._requests[request.number]
        sent = tuple(request.number for request in cancelled if request.block is not None)
        if sent and self._connection is not None:
            self._connection.send(Cancel(sent))

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
            await _close(connection.writer)

    def _handle(self, message: EngineMessage) -> None:
        match message:
            case Started(numbers):
                self._on_started(numbers)
            case Transcribed(number, text):
                self._answer(number, text)
            case Failed(number, failure):
                self._answer(number, failure)
            case Dropped(numbers):
                self._on_dropped(numbers)
            case Alive():
                return
            case Welcome():
                raise ProtocolError("a second Welcome")
        self._send_waiting()
        self._wakeup.notify()

    def _on_started(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            request = self._requests.get(number)
            if request is not None:
                request.is_started = True
                if not request.is_cancelled:
                    self._started.append(request.job)

    def _answer(self, number: int, text: TimedHypothesis | JobFailure) -> None:
        request = self._forget(number)
        if request is None:
            return
        self._losses.pop(request.job.id, None)
        if not request.is_cancelled:
            self._decodes.append(Decode(request.job, text))
            self._wakeup.notify()

    def _on_dropped(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            request = self._forget(number)
            if request is not None and not request.is_cancelled:
                self._dropped.append(request.job)

    def _forget(self, number: int) -> _Request | None:
        request = self._requests.pop(number, None)
        if request is not None and request.block is not None:
            self._audio.free(request.block)
        return request

    # --- the connection

    def _on_lost(self, error: Exception) -> None:
        """Make all unanswered requests unsent again."""
        self._connection = None
        self._metrics.count("engine_losses")
        log.warning(
            "engine lost, connecting again",
            error=str(error),
            requests=len(self._requests),
            action=f"streamscribe engine --socket {self._path}, unless it restarts by itself",
        )
        for request in list(self._requests.values()):
            self._reset(request)
        self._unsent = deque(self._requests.values())

    def _reset(self, request: _Request) -> None:
        """Forget what the lost engine knew of the request."""
        losses = self._count_loss(request)
        if request.is_cancelled:
            self._forget(request.number)
        elif losses and request.job.kind is JobKind.INTERIM:
            self._on_dropped((request.number,))
        elif losses >= MAX_LOSSES:
            self._give_up(request)
        elif request.block is not None:
            self._audio.free(request.block)
            request.block = None

    def _count_loss(self, request: _Request) -> int:
        """Return how many engines were lost while they decoded the utterance."""
        id_ = request.job.id
        if request.is_started:
            request.is_started = False
            self._losses[id_] = self._losses.pop(id_, 0) + 1
            if len(self._losses) > MAX_SUSPECTS:
                del self._losses[next(iter(self._losses))]
        return self._losses.get(id_, 0)

    def _give_up(self, request: _Request) -> None:
        log.error(
            "utterance given up",
            stream=request.job.id.session.stream_id,
            utterance=request.job.id.utterance,
            engines=MAX_LOSSES,
            action="it is a dead letter: look at the engine's log for what ended it",
        )
        self._answer(request.number, JobFailure(_LOST))

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
            await _close(writer)
            raise


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
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
