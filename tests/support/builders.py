"""Records and policies for tests. Speech is loud samples, silence is zeros."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from consumer.core.audio.format_hints import hints
from consumer.core.audio.samples import mono, unpack
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import Int16Array
from consumer.core.partition.interim import InterimPolicy
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import PartitionState, Restored
from consumer.core.partition.stream_admission import StreamLimits
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.records import Lane, Partition, Record, UnreadableBatch
from consumer.core.streams.stream import StreamPolicy
from consumer.core.text.events import FinalPolicy
from schemas.audio import AudioChunk, AudioDefaults, StreamOptions, Task
from schemas.codec import decode_audio, encode_audio
from schemas.errors import Reason
from schemas.languages import WHISPER_CODES
from schemas.transcript import Model

RATE = 16_000
PARTITION = Partition("speech.audio.v1", 0)
MODEL = Model("echo", "0" * 64, "float32", fold=False)
SEGMENTER = SegmenterConfig()
OPTIONS = StreamOptions(
    languages=("en",), task=Task.TRANSCRIBE, words=False, partials=False, endpoint_ms=500
)
KNOWN = WHISPER_CODES - {"yue"}  # as Whisper base

INTERIM = InterimPolicy(every_s=0.7, eager=False)


def loud(seconds: float, rate: int = RATE) -> Int16Array:
    """Return samples that the test detector scores as speech."""
    return np.full(round(seconds * rate), 1000, np.int16)


def quiet(seconds: float, rate: int = RATE) -> Int16Array:
    """Return samples that the test detector scores as non-speech."""
    return np.zeros(round(seconds * rate), np.int16)


def audio_of(runs: Sequence[tuple[bool, int]]) -> Int16Array:
    """Return the audio of runs of (whether it is loud, milliseconds)."""
    return np.concatenate([(loud if is_loud else quiet)(ms / 1000) for is_loud, ms in runs])


def loud_stretches(audio: Int16Array) -> Iterator[tuple[int, int]]:
    """Yield the stretches of loud samples, [start, end)."""
    mask = np.concatenate([[0], audio != 0, [0]]).astype(int)
    edges = np.flatnonzero(np.diff(mask)).tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def read(record: Record) -> Chunk:
    """Return the chunk that the service makes of a PCM record."""
    audio = decode_audio(record.key, record.value, record.headers, AudioDefaults())
    assert audio.rate is not None
    assert audio.channels is not None
    mixed = mono(unpack(audio.payload, audio.codec, audio.channels))
    found = hints(audio.payload, audio.codec, cancelled=mixed.cancelled)
    return Chunk(record, audio, mixed.samples, audio.rate, audio.channels, found)


def policy(
    lane: Lane = Lane.LIVE, interim: InterimPolicy = INTERIM, **changes: float
) -> PartitionPolicy:
    return PartitionPolicy(
        lane=lane,
        from_earliest=True,
        stream=StreamPolicy(SEGMENTER, OPTIONS, KNOWN, "" if lane is Lane.LIVE else "b"),
        split_channels=bool(changes.get("split_channels", False)),
        model=MODEL,
        finals=FinalPolicy(),
        interim=interim,
        final_within_s=0.5,
        limits=StreamLimits(int(changes.get("streams", 10_000)), changes.get("new_per_s", 100.0)),
        stall_s=changes.get("stall_s", 2.0),
        stall_in_speech_s=changes.get("stall_in_speech_s", 10.0),
        idle_s=changes.get("idle_s", 300.0),
    )


class Log:
    """The log of a partition, written by publishers."""

    def __init__(self, partition: Partition = PARTITION) -> None:
        self.partition = partition
        self.records: list[Any] = []  # `Record` or `UnreadableBatch`, one entry an offset
        self.now_ms = 1_700_000_000_000
        self._skipped = 0

    def skip(self, offset: int) -> None:
        """Give the next record this offset."""
        self._skipped = offset - len(self.records)

    def append(self, chunk: AudioChunk) -> Record:
        key, value, headers = encode_audio(chunk)
        return self.append_raw(key, value, headers)

    def append_raw(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Record:
        self.now_ms += 100
        offset = self._skipped + len(self.records)
        record = Record(self.partition, offset, self.now_ms, key, value, tuple(headers))
        self.records.append(record)
        return record

    def append_unreadable(self, count: int = 1) -> UnreadableBatch:
        """Append an unreadable batch of `count` records; `records` holds it at each offset."""
        offset = self._skipped + len(self.records)
        batch = UnreadableBatch(
            self.partition, offset, offset + count - 1, None, b"batch", Reason.CORRUPT_BATCH, "why"
        )
        self.records += [batch] * count
        return batch

    def speak(
        self,
        stream_id: str,
        audio: Int16Array,
        *,
        chunk_s: float = 0.1,
        end: bool,
        options: StreamOptions = StreamOptions(),  # noqa: B008 - frozen
    ) -> None:
        """Publish audio in chunks with `seq` and `start`, the last one with `end`."""
        step = round(chunk_s * RATE)
        starts = range(0, len(audio), step)
        for seq, start in enumerate(starts):
            self.append(
                AudioChunk(
                    stream_id,
                    audio[start : start + step].tobytes(),
                    rate=RATE,
                    channels=1,
                    seq=seq,
                    start=start,
                    end=end and start == starts[-1],
                    options=options,
                )
            )


def fresh(next_offset: int = 0) -> Restored:
    """Return the state of a partition without progress."""
    return Restored(PartitionState(next_offset, next_offset))
