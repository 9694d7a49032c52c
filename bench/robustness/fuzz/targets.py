"""Every parser of bytes that a publisher may choose: its corpus, and what it may do."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import soundfile

from admin.dead_letters import dead_letter, new_stream_id, redriven
from bench.robustness.fuzz.mutation import with_ogg_serial
from consumer.codecs.decode import Decode, decode
from consumer.codecs.sandbox import CodecSandbox
from consumer.core.partition.state import Halt
from consumer.kafka.state_records import decode_states
from schemas.audio import MAX_CHANNELS, MAX_RECORD_SECONDS, AudioChunk, AudioCodec, StreamOptions
from schemas.codec import WireRecord, decode_audio, decode_event, encode_audio, encode_event
from schemas.errors import WireError
from schemas.topics import valid_stream_id
from schemas.transcript import Model, Quality, Source, StreamGap, Timing, TranscriptFinal, Word

_RATE: Final = 16_000
_RAW: Final = [codec for codec in AudioCodec if not codec.self_describing]
_SEPARATOR: Final = b"\0"  # between the parts of a record that is one byte string
_MAX_MESSAGE: Final = 1_000  # characters
_TRACE: Final = f"00-{'1' * 32}-{'2' * 16}-01"


@dataclass(frozen=True, slots=True)
class Target:
    """One parser."""

    corpus: Callable[[], list[bytes]]
    run: Callable[[bytes], None]  # raises AssertionError where the parser breaks a rule of its own
    native: bool = False  # not written in Python


# --- audio


def _container(codec: AudioCodec, kind: str, *subtypes: str) -> Target:
    def corpus() -> list[bytes]:
        single = [
            _encoded(kind, s, rate, n) for s in subtypes for rate in (8_000, 48_000) for n in (1, 2)
        ]
        return [*single, 2 * single[0]]

    def run(data: bytes) -> None:
        _decode(_in_sandbox(), data, codec, None, None)

    return Target(corpus, run, native=True)


@cache
def _in_sandbox() -> Decode:
    """Return the decoding of the worker's sandbox, for callers without an event loop."""
    runner, sandbox = asyncio.Runner(), CodecSandbox()
    return lambda *record: runner.run(sandbox.decode(*record))


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


def _raw(data: bytes) -> None:
    """Decode raw audio; the first byte chooses codec and channels."""
    choice = data[0] if data else 0
    channels = 1 + choice // len(_RAW) % MAX_CHANNELS
    _decode(decode, data[1:], _RAW[choice % len(_RAW)], _RATE, channels)


def _raw_corpus() -> list[bytes]:
    return [bytes([n]) + bytes(range(256)) for n in range(8)]


def _check_message(refused: WireError) -> None:
    """Check what goes to a header and to logs."""
    message = str(refused)
    assert len(message) < _MAX_MESSAGE
    assert message.isprintable()


# --- records


def joined(record: WireRecord) -> bytes:
    """Return a record as one byte string: key, names and values of headers, value."""
    headers = [part for name, value in record.headers for part in (name.encode(), value)]
    return _SEPARATOR.join([record.key, *headers, record.value])


def parted(data: bytes) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    """Return any bytes as key, headers and value."""
    parts = data.split(_SEPARATOR)
    key, *headers, value = parts if len(parts) > 1 else [b"", data]
    names = [name.decode("utf-8", "replace") for name in headers[::2]]
    return key, list(zip(names, headers[1::2], strict=False)), value


def _audio_corpus() -> list[bytes]:
    options = StreamOptions(("zh-Hans", "en"), "so far", "Kafka", None, True, False, 500)
    chunks = [
        AudioChunk("call-1", b"\x01\x02" * 32),
        AudioChunk(
            "call-1", b"\x01\x02", AudioCodec.FLAC, 48_000, 2, 7, 160, 1_763_868_000_250, True
        ),
        AudioChunk("a:b.c", b"", flush=True, options=options, traceparent=_TRACE),
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


def _dead_letter(data: bytes) -> None:
    key, headers, value = parted(data)
    record = SimpleNamespace(
        key=key, value=value, headers=headers, partition=0, offset=0, timestamp=0
    )
    letter = dead_letter(record)
    back = redriven(letter, new_stream_id(letter, "run"))
    assert valid_stream_id(back.key.decode())


def _dead_letter_corpus() -> list[bytes]:
    details = b"\0dlq.reason\0overlap\0dlq.offset\0" + b"7\0"
    return [details.join(data.rsplit(_SEPARATOR, 1)) for data in _audio_corpus()]


def _state_corpus() -> list[bytes]:
    """Return the state of a stream, and of a partition."""
    order = (
        b'{"rate":16000,"channels":1,"end":160,"first_seq":0,"first":[1,null,2],"next_seq":1,'
        b'"last_samples":160,"positioned":true}'
    )
    stream = b'"needed":3,"taken":4,"last_ms":5,"session":null,"done":[6],"order":' + order
    partition = b'"next_offset":7,"resume_offset":3,"tally":{"accepted":6,"duplicate":1}'
    return [b'{"v":1,"state":{%s}}' % state for state in (stream, partition)]


def _state(data: bytes) -> None:
    for key in (b"S|g|t|call-1", b"P|g|t"):
        with suppress(Halt):
            decode_states("g", "t", [(key, data)])


TARGETS: Final[dict[str, Target]] = {
    "wav": _container(AudioCodec.WAV, "WAV", "PCM_16", "FLOAT", "ULAW", "IMA_ADPCM"),
    "flac": _container(AudioCodec.FLAC, "FLAC", "PCM_16", "PCM_24"),
    "mp3": _container(AudioCodec.MP3, "MP3", "MPEG_LAYER_III"),
    "opus": _container(AudioCodec.OPUS, "OGG", "OPUS"),
    "vorbis": _container(AudioCodec.VORBIS, "OGG", "VORBIS"),
    "raw": Target(_raw_corpus, _raw),
    "audio": Target(_audio_corpus, _audio),
    "event": Target(_event_corpus, _event),
    "dead-letter": Target(_dead_letter_corpus, _dead_letter),
    "state": Target(_state_corpus, _state),
}
