"""The audio record: one chunk of a stream on an audio topic, and its limits.

Every header is optional, so that `kcat`, a shell pipe or any Kafka client can publish. Without
headers the topic's `AudioDefaults` apply, and chunks are ordered by offset.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_RECORD_BYTES = 1 << 20  # of the value
MAX_HEADERS = 32
MAX_HEADER_BYTES = 8 << 10  # names and values together
MAX_RECORD_SECONDS = 60  # of decoded audio
MIN_RATE, MAX_RATE = 8_000, 48_000  # Hz
MAX_CHANNELS = 2
MIN_ENDPOINT_MS, MAX_ENDPOINT_MS = 200, 2_000
MAX_PROMPT_CHARACTERS = 1_000
MAX_LANGUAGES = 16
MAX_POSITION = (1 << 53) - 1  # of `seq` and `start`: exact in every reader of JSON
MAX_UNIX_MS = 253_402_300_799_999  # the end of year 9999, the last that RFC 3339 can write


class AudioCodec(StrEnum):
    """Codecs by FFmpeg's names. Every record is decoded on its own."""

    PCM_S16LE = "pcm_s16le"
    PCM_F32LE = "pcm_f32le"
    PCM_MULAW = "pcm_mulaw"
    PCM_ALAW = "pcm_alaw"
    FLAC = "flac"
    OPUS = "opus"  # in Ogg
    VORBIS = "vorbis"  # in Ogg
    MP3 = "mp3"
    WAV = "wav"

    @property
    def self_describing(self) -> bool:
        """Whether the payload has a header of its own with rate and channels."""
        return not self.startswith("pcm_")


class Task(StrEnum):
    TRANSCRIBE = "transcribe"
    TRANSLATE = "translate"  # into English


@dataclass(frozen=True, slots=True)
class AudioDefaults:
    """The format of records without format headers: a property of the topic."""

    codec: AudioCodec = AudioCodec.PCM_S16LE
    rate: int = 16_000  # Hz
    channels: int = 1


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """Options that a publisher sets on the first record of a stream. None: the worker's default."""

    languages: tuple[str, ...] | None = None  # BCP 47; several: the allowed ones; (): any
    prompt: str | None = None
    hotwords: str | None = None
    task: Task | None = None
    words: bool | None = None  # word times
    partials: bool | None = None  # interim results
    endpoint_ms: int | None = None  # silence that ends an utterance


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """One record of an audio topic; `schemas.codec` converts it from and to bytes.

    `rate` and `channels` of a chunk to publish are sent as headers unless None. Those of a decoded
    PCM chunk are the headers' values, else the topic's defaults; those of a self-describing codec
    are the headers' values alone, which the payload must not contradict.
    """

    stream_id: str  # the record's key: 1-128 of [A-Za-z0-9._:-]
    payload: bytes  # empty only with `end` or `flush`
    codec: AudioCodec = AudioCodec.PCM_S16LE
    rate: int | None = None  # Hz; None when decoded: only the payload states it
    channels: int | None = None  # likewise
    seq: int | None = None  # +1 per chunk, from any number: reveals gaps, duplicates, disorder
    start: int | None = None  # index of the first sample in the stream: media time
    captured_ms: int | None = None  # Unix time of the first sample
    end: bool = False  # last record of the stream
    flush: bool = False  # end the open utterance now
    options: StreamOptions = StreamOptions()
    problems: tuple[str, ...] = ()  # headers that do not apply as sent: the stream is warned
    traceparent: str | None = None  # W3C trace context, copied to the events
    run: str | None = None  # id of the publisher's run: with another one, a session begins
