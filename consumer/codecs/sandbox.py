"""Containers are decoded by a pool of processes: their decoders are native code.

A payload that crashes a decoder, or keeps it busy for too long, is rejected like any other that
cannot be decoded, and the next one finds another process. Without this, one record would end every
worker that reads it, one after the other.

Nothing here blocks the event loop. As many payloads are decoded at a time as there are places. One
that takes long gives its place to others before its time is up, so that it delays none but those
that have to wait for it anyway.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import numpy as np
import structlog

from consumer.codecs.sandbox_process import ANSWER, request
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import MAX_CHANNELS, MAX_RATE, MAX_RECORD_SECONDS, MIN_RATE, AudioCodec
from schemas.errors import Reason, WireError

log = structlog.get_logger(__name__)

PROCESSES: Final = 2
TIMEOUT_S: Final = 3.0  # of one payload; the longest allowed record takes less than 0.1 s
OVERDUE_S: Final = 0.25  # after which a payload gives its place to others
MAX_OVERDUE: Final = 6  # payloads that have done so at a time, each with a process
_MAX_BODY_BYTES: Final = MAX_RECORD_SECONDS * MAX_RATE * MAX_CHANNELS * 2
_COMMAND: Final = (sys.executable, "-m", "consumer.codecs.sandbox_process")


class _ProcessFailed(Exception):  # noqa: N818 - it says what happened
    """The process has ended, or answers what no decoder would."""


class CodecSandbox:
    """An asynchronous context manager; `on_failure` is called whenever a process is replaced."""

    def __init__(
        self,
        on_failure: Callable[[], None] = lambda: None,
        *,
        timeout_s: float = TIMEOUT_S,
        processes: int = PROCESSES,
        command: tuple[str, ...] = _COMMAND,
    ) -> None:
        """`command`: starts a process that speaks the protocol of `sandbox_process.py`."""
        self._on_failure = on_failure
        self._timeout_s = timeout_s
        self._processes = processes
        self._command = command
        self._places = asyncio.Semaphore(processes)
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._overdue = 0

    async def __aenter__(self) -> Self:
        try:
            self._idle = [await self._spawn() for _ in range(self._processes)]
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
        """Decode one container. Raises `WireError` with the reason to dead-letter the record by."""
        question = request(payload, codec, rate, channels)
        for fresh in (False, True):  # a crash may be the doing of a payload before this one
            try:
                async with self._place(), self._process(fresh=fresh) as process:
                    async with asyncio.timeout(self._timeout_s):
                        return await _ask(process, question)
            except (_ProcessFailed, BrokenPipeError, ConnectionResetError):
                self._report(codec, "the process ended")
            except TimeoutError:
                self._report(codec, f"no answer within {self._timeout_s:.0f} s")
                break
        raise WireError(
            Reason.BAD_PAYLOAD,
            f"the {codec} decoder could not cope with the payload; encode it anew",
        )

    def _report(self, codec: AudioCodec, error: str) -> None:
        log.warning("codec process failed", codec=codec, error=error)
        self._on_failure()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Hold one of the places; give it back early once the payload is overdue."""
        await self._places.acquire()
        is_overdue = False

        def give_back() -> None:
            nonlocal is_overdue
            if self._overdue < MAX_OVERDUE:
                is_overdue = True
                self._overdue += 1
                self._places.release()

        timer = asyncio.get_running_loop().call_later(OVERDUE_S, give_back)
        try:
            yield
        finally:
            timer.cancel()
            if is_overdue:
                self._overdue -= 1
            else:
                self._places.release()

    @asynccontextmanager
    async def _process(self, *, fresh: bool) -> AsyncIterator[Process]:
        """Lend a process; after any error but a rejection it is not used again.

        `fresh`: one that has decoded nothing yet.
        """
        if fresh and self._idle:
            await self._end(self._idle.pop())
        process = self._idle.pop() if self._idle and not fresh else await self._spawn()
        try:
            yield process
        except WireError:
            self._idle.append(process)
            raise
        except BaseException:
            await self._end(process)
            raise
        self._idle.append(process)

    async def _spawn(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,  # decoders write there what they think of a payload
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # it would take memory for every core
        )
        self._all.add(process)
        return process

    async def _end(self, process: Process) -> None:
        self._all.discard(process)
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()  # closes the pipes


async def _ask(process: Process, question: bytes) -> DecodedAudio:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(question)
    await process.stdin.drain()
    try:
        head = await process.stdout.readexactly(ANSWER.size)
        is_rejected, rate, channels, length = ANSWER.unpack(head)
        if length > _MAX_BODY_BYTES:
            raise _ProcessFailed
        body = await process.stdout.readexactly(length)
    except asyncio.IncompleteReadError as error:
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
