"""Containers are decoded in a process of their own: their decoders are native code.

A record that crashes a decoder, or keeps it busy for too long, is refused like any other that
cannot be decoded; the next record finds a new process. Without this, one record would end every
worker that reads it, one after the other.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final, Self

import numpy as np
import structlog

from consumer.codecs.decode import decode
from consumer.codecs.sandbox_process import ANSWER, request
from consumer.core.audio.samples import DecodedAudio
from schemas.audio import MAX_CHANNELS, MAX_RATE, MAX_RECORD_SECONDS, MIN_RATE, AudioCodec
from schemas.errors import Reason, WireError

log = structlog.get_logger(__name__)

ANSWER_S: Final = 3.0  # a longest record takes less than 0.1 s
_TRIES: Final = 2  # of a record that meets a crash: one before it may have caused that
_MAX_BODY_BYTES: Final = MAX_RECORD_SECONDS * MAX_RATE * MAX_CHANNELS * 2
_PIECE_BYTES: Final = 1 << 20


class _DecoderLost(Exception):  # noqa: N818 - it says what happened, not what is wrong
    """The process has ended, or answers what no decoder would."""


class CodecSandbox:
    """`decode` as `consumer.codecs.decode` has it. Not for several threads at once.

    `on_crash` is called whenever a process had to be replaced.
    """

    def __init__(
        self, on_crash: Callable[[], None] = lambda: None, *, answer_s: float = ANSWER_S
    ) -> None:
        self._on_crash = on_crash
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """It ends with the process that started it, if nobody calls `close` before."""
        self._process = _spawn()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def decode(
        self, payload: bytes, codec: AudioCodec, rate: int | None, channels: int | None
    ) -> DecodedAudio:
        """Raises `WireError` with the reason to dead-letter the record by."""
        if not codec.self_describing:
            return decode(payload, codec, rate, channels)
        for _ in range(_TRIES):
            try:
                return self._ask(request(payload, codec, rate, channels))
            except (_DecoderLost, BrokenPipeError):
                self._replace(codec, "crashed")
            except TimeoutError:
                self._replace(codec, f"took longer than {self._answer_s:.0f} s")
                break
        raise WireError(
            Reason.BAD_PAYLOAD,
            f"the {codec} decoder could not cope with the payload; encode it anew",
        )

    def _replace(self, codec: AudioCodec, how: str) -> None:
        log.warning("codec process failed", codec=codec, how=how)
        self._on_crash()
        self.close()
        self.start()

    def _ask(self, question: bytes) -> DecodedAudio:
        process = self._process
        assert process is not None, "not started"
        _write(process, question)
        deadline = time.monotonic() + self._answer_s
        is_refused, rate, channels, length = ANSWER.unpack(_read(process, ANSWER.size, deadline))
        if length > _MAX_BODY_BYTES:
            raise _DecoderLost
        body = _read(process, length, deadline)
        if is_refused:
            raise _refusal(body)
        return _sound(body, rate, channels)


def _spawn() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "consumer.codecs.sandbox_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # decoders tell what they think of a payload there
        bufsize=0,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # it would take memory for every core
    )


def _write(process: subprocess.Popen[bytes], question: bytes) -> None:
    assert process.stdin is not None
    left = memoryview(question)
    while left:
        left = left[process.stdin.write(left) :]


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    """Raises `_DecoderLost` when it ends before, `TimeoutError` when it takes too long."""
    assert process.stdout is not None
    read = bytearray()
    while len(read) < size:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
            raise TimeoutError
        if not (piece := process.stdout.read(min(size - len(read), _PIECE_BYTES))):
            raise _DecoderLost
        read += piece
    return bytes(read)


def _refusal(body: bytes) -> WireError:
    reason, _, message = body.decode("utf-8", "replace").partition("\n")
    if reason not in set(Reason):
        raise _DecoderLost
    return WireError(Reason(reason), message)


def _sound(body: bytes, rate: int, channels: int) -> DecodedAudio:
    if not (MIN_RATE <= rate <= MAX_RATE and 1 <= channels <= MAX_CHANNELS):
        raise _DecoderLost
    if not body or len(body) % (2 * channels):
        raise _DecoderLost
    return DecodedAudio(np.frombuffer(body, np.int16).reshape(-1, channels), rate)
