"""Everything that reads bytes of strangers: what it begins with, and what it may do."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import numpy as np
import soundfile

from admin.dead_letters import dead_letter, new_stream_id, redriven
from bench.fuzz.mutation import with_ogg_serial
from consumer.codecs.decode import Decode, decode
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.partition.state import Halt
from consumer.core.streams.state import RecordOrder, StreamState
from consumer.kafka.state_records import decode_states
from schemas.audio import MAX_CHANNELS, MAX_RECORD_SECONDS, AudioChunk, AudioCodec, StreamOptions
from schemas.codec import WireRecord, decode_audio, decode_event, encode_audio, encode_event
from schemas.errors import WireError
from schemas.topics import valid_stream_id
from schemas.transcript import (
    Model,
    Quality,
    Source,
    StreamGap,
    Timing,
    TranscriptFinal,
    Word,
)

_RATE: Final = 16_000
_RAW: Final = [codec for codec in AudioCodec if not codec.self_describing]
_BETWEEN: Final = b"\0"  # the parts of a record that is written as one piece of bytes


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    corpus: Callable[[], list[bytes]]
    run: Callable[[bytes], None]  # raises nothing but what the parser may; AssertionError: wrong
    native: bool = False  # not written in Python


def _container(codec: AudioCodec, kind: str, subtypes: tuple[str, ...]) -> Target:
    def corpus() -> list[bytes]:
        return [
            _encoded(kind, s, rate, n) for s in subtypes for rate in (8_000, 48_000) for n in (1, 2)
        ]

    def run(data: bytes) -> None:
        _decode(_isolated().decode, data, codec, None, None)

    return Target(corpus, run, native=True)


@cache
def _isolated() -> CodecSandbox:
    """As the worker decodes containers: what ends their decoder must not end it."""
    decoder = CodecSandbox()
    decoder.start()
    return decoder


def _encoded(kind: str, subtype: str, rate: int, channels: int) -> bytes:
    wave = np.sin(np.arange(rate // 5) * (2 * np.pi * 440 / rate)) * 0.4
    file = io.BytesIO()
    audio = np.repeat(wave[:, None], channels, axis=1)
    soundfile.write(file, audio, rate, format=kind, subtype=subtype)
    return with_ogg_serial(file.getvalue(), 1) if kind == "OGG" else file.getvalue()


def _decode(
    decode: Decode, data: bytes, codec: AudioCodec, rate: int | None, channels: int | None
) -> None:
    try:
        pcm = decode(data, codec, rate, channels)
    except WireError as refused:
        _check_message(refused)
        return
    length, found = pcm.samples.shape
    assert length <= MAX_RECORD_SECONDS * pcm.rate
    assert 1 <= found <= MAX_CHANNELS
    assert pcm.samples.dtype == np.int16


def _raw() -> Target:
    """The first byte chooses codec and channels."""

    def run(data: bytes) -> None:
        choice = data[0] if data else 0
        channels = 1 + choice // len(_RAW) % MAX_CHANNELS
        _decode(decode, data[1:], _RAW[choice % len(_RAW)], _RATE, channels)

    return Target(lambda: [bytes([n]) + bytes(range(256)) for n in range(8)], run)


def joined(record: WireRecord) -> bytes:
    """A record as one piece of bytes: key, names and values of headers, value."""
    headers = [part for name, value in record.headers for part in (name.encode(), value)]
    return _BETWEEN.join([record.key, *headers, record.value])


def parted(data: bytes) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    """Any bytes as key, headers and value."""
    key, *headers, value = (
        [b"", *data.split(_BETWEEN)] if _BETWEEN not in data else data.split(_BETWEEN)
    )
    names = [name.decode("utf-8", "replace") for name in headers[::2]]
    return key, list(zip(names, headers[1::2], strict=False)), value


def _audio_corpus() -> list[bytes]:
    asked = StreamOptions(("zh-Hans", "en"), "so far", "Kafka", None, True, False, 500)
    chunks = [
        AudioChunk("call-1", b"\x01\x02" * 32),
        AudioChunk(
            "call-1", b"\x01\x02", AudioCodec.FLAC, 48_000, 2, 7, 160, 1_763_868_000_250, True
        ),
        AudioChunk(
            "a:b.c", b"", flush=True, options=asked, traceparent=f"00-{'1' * 32}-{'2' * 16}-01"
        ),
    ]
    return [joined(encode_audio(chunk)) for chunk in chunks]


def _audio(data: bytes) -> None:
    key, headers, value = parted(data)
    try:
        chunk = decode_audio(key, value, headers)
    except WireError as refused:
        _check_message(refused)
        return
    assert decode_audio(*encode_audio(chunk)).payload == chunk.payload


def _check_message(refused: WireError) -> None:
    """It goes to a header and to logs, whatever the record held."""
    message = str(refused)
    assert len(message) < _LONGEST_MESSAGE
    assert message.isprintable()


_LONGEST_MESSAGE: Final = 1_000
_TRACE: Final = f"00-{'1' * 32}-{'2' * 16}-01"
_STREAM: Final[dict[str, Any]] = {
    "stream_id": "s",
    "session_id": "0-0",
    "index": 0,
    "time_ms": 1_763_868_000_250,
}


def _event_corpus() -> list[bytes]:
    gap = StreamGap(**_STREAM, start_sample=0, end_sample=1, rate=_RATE, estimated=True)
    final = TranscriptFinal(
        **_STREAM,
        utterance=0,
        start_s=0.0,
        end_s=1.5,
        speech_end_s=1.0,
        start_sample=0,
        end_sample=24_000,
        rate=_RATE,
        started_at_ms=0,
        end_reason="silence",
        language="zh",
        language_probability=None,
        text="你好",
        words=(Word("你好", 0.0, 1.0, 0.5),),
        confidence=0.5,
        quality=Quality(-0.1, 0.0, 1.0),
        model=Model("base", "0" * 64, "float32", fold=True),
        source=Source("speech.audio.v1", 0, 0, 9),
        timing=Timing(None, 1, 2),
    )
    return [joined(encode_event(event)) for event in (gap, final)]


def _event(data: bytes) -> None:
    _, headers, value = parted(data)
    try:
        event = decode_event(headers, value)
    except WireError:
        return
    encode_event(event)


def _letter(data: bytes) -> None:
    key, headers, value = parted(data)
    record = SimpleNamespace(
        key=key, value=value, headers=headers, partition=0, offset=0, timestamp=0
    )
    letter = dead_letter(record)
    back = redriven(letter, new_stream_id(letter, "run"))
    assert valid_stream_id(back.key.decode())


def _letter_corpus() -> list[bytes]:
    told = b"\0dlq.reason\0overlap\0dlq.offset\0" + b"7\0"
    return [told.join(data.rsplit(_BETWEEN, 1)) for data in _audio_corpus()]


def _state_corpus() -> list[bytes]:
    order = RecordOrder(_RATE, 1, 160, 0, (1, None, 2), 1, 160, positioned=True)
    state = StreamState(
        needed_offset=3, read_offset=4, last_ms=5, order=order, session=None, decided_offsets=(6,)
    )
    return [msgspec.json.encode({"v": 1, "state": state})]


def _state(data: bytes) -> None:
    try:
        decode_states("g", "t", [(b"S|g|t|call-1", data), (b"P|g|t", data)])
    except Halt:
        return


TARGETS: Final[dict[str, Target]] = {
    "wav": _container(AudioCodec.WAV, "WAV", ("PCM_16", "FLOAT", "ULAW", "IMA_ADPCM")),
    "flac": _container(AudioCodec.FLAC, "FLAC", ("PCM_16", "PCM_24")),
    "mp3": _container(AudioCodec.MP3, "MP3", ("MPEG_LAYER_III",)),
    "opus": _container(AudioCodec.OPUS, "OGG", ("OPUS",)),
    "vorbis": _container(AudioCodec.VORBIS, "OGG", ("VORBIS",)),
    "raw": _raw(),
    "audio": Target(_audio_corpus, _audio),
    "event": Target(_event_corpus, _event),
    "dead-letter": Target(_letter_corpus, _letter),
    "state": Target(_state_corpus, _state),
}
