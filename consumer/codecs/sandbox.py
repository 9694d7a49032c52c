"""Decode containers in a pool of processes, because their decoders are native code.

A payload that crashes a decoder or exceeds its limits is rejected like any other that cannot be
decoded, and the next payload gets another process. Without the sandbox, one record could crash
every worker that reads it.

The limit of a payload is CPU time, so that a loaded machine rejects nothing that an idle one
decodes. The limit of elapsed time is for decoders that block. Starting a process has a limit of its
own, and its failure is the machine's, not the payload's.

Nothing here blocks the event loop. The number of slots bounds how many payloads are decoded
concurrently. A payload that takes long releases its slot before its time limit, so that it delays
only the records after it in its own partition.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import numpy as np
import structlog

from consumer.codecs.sandbox_process import ANSWER, READY, request
from consumer.core.audio.samples import DecodedAudio
from consumer.errors import SttError
from schemas.audio import MAX_CHANNELS, MAX_RATE, MAX_RECORD_SECONDS, MIN_RATE, AudioCodec
from schemas.errors import Reason, WireError

log = structlog.get_logger(__name__)

PROCESSES: Final = 2
CPU_LIMIT_S: Final = 3.0  # of one payload; the longest allowed record takes less than 0.1 s
TIMEOUT_S: Final = 10.0  # elapsed, of one payload
START_TIMEOUT_S: Final = 60.0  # elapsed, of a new process; it takes 0.5 s on an idle machine
OVERDUE_S: Final = 0.25  # after which a payload releases its slot
MAX_OVERDUE: Final = 6  # concurrent payloads without a slot, each with its own process
_MAX_BODY_BYTES: Final = MAX_RECORD_SECONDS * MAX_RATE * MAX_CHANNELS * 2
_COMMAND: Final = (sys.executable, "-m", "consumer.codecs.sandbox_process")


class _ProcessFailed(Exception):  # noqa: N818 -- named by what happened
    """The process has ended or returned an invalid answer."""


class CodecSandbox:
    """A pool of codec processes. An asynchronous context manager.

    `on_failure` is called whenever a process is replaced.
    """

    def __init__(
        self,
        on_failure: Callable[[], None] = lambda: None,
        *,
        cpu_limit_s: float = CPU_LIMIT_S,
        timeout_s: float = TIMEOUT_S,
        processes: int = PROCESSES,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        """`command` starts a process with the protocol and the argument of `sandbox_process.py`."""
        self._on_failure = on_failure
        self._cpu_limit_s = cpu_limit_s
        self._timeout_s = timeout_s
        self._processes = processes
        self._command = (*command, str(cpu_limit_s))
        self._slots = asyncio.Semaphore(processes)
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._overdue = 0

    async def __aenter__(self) -> Self:
        try:
            self._idle = [await self._launch() for _ in range(self._processes)]
            for process in self._idle:
                await _expect_ready(process)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in list(self._all):
            await self._end(process)
        self._idle.clear()

    async def decode(
        self, payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
    ) -> DecodedAudio:
        """Decode one container.

        Raises `WireError` with the reason for the dead letter, `SttError` if no process starts.
        """
        message = request(payload, codec, rate, channels)
        for fresh in (False, True):  # an earlier payload may have caused the first crash
            try:
                async with self._slot(), self._process(fresh=fresh) as process:
                    async with asyncio.timeout(self._timeout_s):
                        return await _decode(process, message)
            except (_ProcessFailed, BrokenPipeError, ConnectionResetError):
                self._report(codec, "the process ended")
            except TimeoutError:
                self._report(codec, self._limits)
                break
        raise WireError(
            Reason.BAD_PAYLOAD,
            f"the {codec} decoder failed on the payload; encode it again",
        )

    @property
    def _limits(self) -> str:
        return (
            f"no answer within {self._cpu_limit_s:g} s of CPU time, {self._timeout_s:g} s elapsed"
        )

    def _report(self, codec: AudioCodec, error: str) -> None:
        log.warning("codec process failed", codec=codec, error=error)
        self._on_failure()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Hold a slot, and release it early once the payload is overdue."""
        await self._slots.acquire()
        is_overdue = False

        def release_early() -> None:
            nonlocal is_overdue
            if self._overdue < MAX_OVERDUE:
                is_overdue = True
                self._overdue += 1
                self._slots.release()

        timer = asyncio.get_running_loop().call_later(OVERDUE_S, release_early)
        try:
            yield
        finally:
            timer.cancel()
            if is_overdue:
                self._overdue -= 1
            else:
                self._slots.release()

    @asynccontextmanager
    async def _process(self, *, fresh: bool) -> AsyncIterator[Process]:
        """Yield a process, a new one if `fresh`; end it after any error but a rejection."""
        if fresh and self._idle:
            await self._end(self._idle.pop())
        process = self._idle.pop() if self._idle and not fresh else await self._start()
        try:
            yield process
        except WireError:
            self._idle.append(process)
            raise
        except BaseException:
            await self._end(process)
            raise
        self._idle.append(process)

    async def _start(self) -> Process:
        """Start a process and wait until it reads requests. Raises `SttError` if it does not."""
        process = await self._launch()
        try:
            await _expect_ready(process)
        except BaseException:
            await self._end(process)
            raise
        return process

    async def _launch(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,  # decoders write warnings about the payload there
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # else it allocates for every core
        )
        self._all.add(process)
        return process

    async def _end(self, process: Process) -> None:
        self._all.discard(process)
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # closes the pipes


async def _expect_ready(process: Process) -> None:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await process.stdout.readexactly(len(READY))
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise SttError(
            "a codec process did not start: give the worker more memory or processes; for the cause"
            f" run {' '.join(_COMMAND)} {CPU_LIMIT_S:g}"
        ) from error


async def _decode(process: Process, message: bytes) -> DecodedAudio:
    """Send one request to a process; return its answer.

    Raises `WireError`, `_ProcessFailed`, `TimeoutError` if it has used up its CPU time.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(message)
    await process.stdin.drain()
    try:
        head = await process.stdout.readexactly(ANSWER.size)
        is_rejected, rate, channels, length = ANSWER.unpack(head)
        if length > _MAX_BODY_BYTES:
            raise _ProcessFailed
        body = await process.stdout.readexactly(length)
    except asyncio.IncompleteReadError as error:
        if await process.wait() == -signal.SIGPROF:
            raise TimeoutError from error
        raise _ProcessFailed from error
    if is_rejected:
        raise _rejection(body)
    return _decoded(body, rate, channels)


def _rejection(body: bytes) -> WireError:
    reason, _, message = body.decode("utf-8", "replace").partition("\n")
    if reason not in set(Reason):
        raise _ProcessFailed
    return WireError(Reason(reason), message)


def _decoded(body: bytes, rate: int, channels: int) -> DecodedAudio:
    if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS):
        raise _ProcessFailed
    if not body or len(body) % (2 * channels):
        raise _ProcessFailed
    return DecodedAudio(np.frombuffer(body, np.int16).reshape(-1, channels), rate)
