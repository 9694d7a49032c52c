"""Turn a record of an audio topic into its chunks, or into the reason to reject it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from consumer.codecs.decode import decode
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.audio.format_hints import hints
from consumer.core.audio.samples import DecodedAudio, mono
from consumer.core.partition.step import DecodedRecord, RejectedRecord
from consumer.core.streams.chunks import Chunk, split
from consumer.core.streams.records import Record
from consumer.errors import SttError, where_raised
from schemas.audio import AudioChunk, AudioDefaults
from schemas.codec import decode_audio
from schemas.errors import Reason, WireError

log = structlog.get_logger(__name__)

_SILENT: Final = np.empty(0, np.int16)


@dataclass(frozen=True, slots=True)
class AudioRules:
    """How to interpret the records of a topic."""

    defaults: AudioDefaults
    split_channels: bool = False  # whether each channel becomes a stream of its own


class RecordReader:
    """`consumer.interfaces.Codecs`: decodes raw audio at once, and containers in the sandbox."""

    def __init__(self, sandbox: CodecSandbox, rules: AudioRules) -> None:
        self._sandbox = sandbox
        self._rules = rules

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        try:
            audio = self._parsed(record)
            if audio.payload and audio.codec.self_describing:
                return None
            return decoded_record(record, audio, _raw(audio), self._rules)
        except Exception as error:  # noqa: BLE001 -- sorted out there
            return _rejected(record, error)

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        try:
            audio = self._parsed(record)
            found = await self._sandbox.decode(
                audio.payload, audio.codec, audio.rate, audio.channels
            )
            return decoded_record(record, audio, found, self._rules)
        except Exception as error:  # noqa: BLE001 -- sorted out there
            return _rejected(record, error)

    def _parsed(self, record: Record) -> AudioChunk:
        return decode_audio(record.key, record.value, record.headers, self._rules.defaults)


def read_record(record: Record, rules: AudioRules) -> DecodedRecord:
    """Read a record and decode its container in this process, for tests and benches.

    Raises `WireError`.
    """
    audio = decode_audio(record.key, record.value, record.headers, rules.defaults)
    return decoded_record(record, audio, _raw(audio), rules)


def decoded_record(
    record: Record, audio: AudioChunk, decoded: DecodedAudio | None, rules: AudioRules
) -> DecodedRecord:
    """Return the record with its audio; `decoded` is None for a record without a payload.

    Raises `WireError` where a channel's stream id would be too long.
    """
    rate, channels = audio.rate or rules.defaults.rate, audio.channels or rules.defaults.channels
    if decoded is None:
        return DecodedRecord(record, (Chunk(record, audio, _SILENT, rate, channels),))
    mixed = mono(decoded.samples)
    chunk = Chunk(
        record=record,
        audio=audio,
        samples=mixed.samples,
        rate=decoded.rate,
        channels=decoded.samples.shape[1],
        hints=hints(audio.payload, audio.codec, cancelled=mixed.cancelled),
    )
    return DecodedRecord(
        record, split(chunk, decoded.samples) if rules.split_channels else (chunk,)
    )


def _rejected(record: Record, error: Exception) -> RejectedRecord:
    """Return the record with the reason; an unexpected exception is contained to it.

    Raises again what concerns the process.
    """
    if isinstance(error, WireError):
        return RejectedRecord(record, error.reason, str(error))
    if isinstance(error, (SttError, MemoryError)):
        raise error
    log.error(
        "record failed",
        topic=record.partition.topic,
        partition=record.partition.number,
        offset=record.offset,
        error=type(error).__name__,
        traceback=where_raised(error),
        action="it is a dead letter (internal_error): report the traceback, then redrive it",
    )
    message = f"{type(error).__name__} was raised for this record: find it in the worker's log"
    return RejectedRecord(record, Reason.INTERNAL_ERROR, message)


def _raw(audio: AudioChunk) -> DecodedAudio | None:
    """Return the decoded payload, or None for an empty one."""
    if not audio.payload:
        return None
    return decode(audio.payload, audio.codec, audio.rate, audio.channels)
