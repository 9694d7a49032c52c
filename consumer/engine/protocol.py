"""The messages between a worker and the engine process, over a Unix socket.

    worker -> engine   Hello, Submit, Cancel
    engine -> worker   Welcome, Started, Transcribed, Failed, Dropped, Alive

Each frame is its length in four bytes and one message in MessagePack. The samples of a job are in
memory that both processes map (`shared_audio`): the worker passes its file descriptor with Hello.
Every number of a Submit gets exactly one Transcribed, Failed or Dropped; until then the worker
leaves its samples where they are. Monotonic times are comparable, as both run on one machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final, TypeAlias

import msgspec
import numpy as np

from consumer.core.audio.utterance import Int16Array
from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.engine.shared_audio import AudioBlock
from consumer.interfaces import EngineInfo

VERSION: Final = 1  # of the messages and of all that they contain
MAX_FRAME: Final = 4 << 20  # bytes; samples are not in frames
ALIVE_S: Final = 1.0  # between two Alive messages
SILENT_S: Final = 10.0  # without any message: the engine hangs
LENGTH_BYTES: Final = 4
_NO_SAMPLES: Final = np.zeros(0, np.int16)


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message of a worker; the descriptor of its shared memory comes with it."""

    version: int
    audio_bytes: int  # size of the shared memory


class Submit(msgspec.Struct, frozen=True, tag=True):
    """A job, without its samples."""

    number: int  # unique in the connection
    job: Job
    audio: AudioBlock


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """Jobs to drop if their decode has not begun."""

    numbers: tuple[int, ...]


class Welcome(msgspec.Struct, frozen=True, tag=True):
    """The engine is ready: the answer to Hello."""

    version: int
    info: EngineInfo


class Started(msgspec.Struct, frozen=True, tag=True):
    """Jobs whose decode begins now."""

    numbers: tuple[int, ...]


class Transcribed(msgspec.Struct, frozen=True, tag=True):
    """The text of a job."""

    number: int
    text: TimedHypothesis


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A job that alone makes the model raise."""

    number: int
    failure: JobFailure


class Dropped(msgspec.Struct, frozen=True, tag=True):
    """Jobs that are not decoded: cancelled, or interims that were superseded or late."""

    numbers: tuple[int, ...]


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Sent every ALIVE_S."""


WorkerMessage: TypeAlias = Hello | Submit | Cancel
EngineMessage: TypeAlias = Welcome | Started | Transcribed | Failed | Dropped | Alive


class ProtocolError(Exception):
    """The peer sent what is not a message of this version."""


def submitted(number: int, job: Job, audio: AudioBlock) -> Submit:
    """Return the message for a job whose samples are in `audio`."""
    utterance = replace(job.utterance, samples=_NO_SAMPLES)
    return Submit(number, replace(job, utterance=utterance), audio)


def with_samples(job: Job, samples: Int16Array) -> Job:
    """Return the job of a Submit with its samples."""
    return replace(job, utterance=replace(job.utterance, samples=samples))


def frame(message: WorkerMessage | EngineMessage) -> bytes:
    """Return the bytes of a message. Raises `ProtocolError` if it has no representation."""
    try:
        payload = _ENCODER.encode(message)
    except (UnicodeEncodeError, OverflowError, ValueError) as error:
        raise ProtocolError(f"not representable: {type(error).__name__}") from error
    if len(payload) > MAX_FRAME:
        raise ProtocolError(f"a message of {len(payload)} bytes, {MAX_FRAME} are allowed")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def worker_message(payload: bytes) -> WorkerMessage:
    """Return the message of a worker. Raises `ProtocolError`."""
    try:
        return _FROM_WORKER.decode(payload)
    except msgspec.DecodeError as error:
        raise ProtocolError(str(error)) from error


def engine_message(payload: bytes) -> EngineMessage:
    """Return the message of an engine. Raises `ProtocolError`."""
    try:
        return _FROM_ENGINE.decode(payload)
    except msgspec.DecodeError as error:
        raise ProtocolError(str(error)) from error


async def read_payload(reader: asyncio.StreamReader) -> bytes:
    """Return the payload of the next frame.

    Raises `ProtocolError`, `EOFError` when the peer has closed the connection, `OSError`.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > MAX_FRAME:
        raise ProtocolError(f"a frame of {length} bytes, {MAX_FRAME} are allowed")
    return await reader.readexactly(length)


def _encode_array(value: object) -> bytes:
    if isinstance(value, np.ndarray) and not value.size:
        return b""
    raise NotImplementedError(type(value).__name__)


def _decode_array(*_: object) -> Int16Array:
    return _NO_SAMPLES


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_encode_array)
_FROM_WORKER: Final[msgspec.msgpack.Decoder[WorkerMessage]] = msgspec.msgpack.Decoder(
    WorkerMessage, dec_hook=_decode_array
)
_FROM_ENGINE: Final[msgspec.msgpack.Decoder[EngineMessage]] = msgspec.msgpack.Decoder(
    EngineMessage, dec_hook=_decode_array
)
