"""One outgoing stream: samples in, numbered records out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from producer.conversion import Int16Array, encoded
from producer.media import AudioFormat
from schemas.audio import AudioChunk, AudioCodec, StreamOptions


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How streams are to be published."""

    codec: AudioCodec
    chunk_ms: int
    realtime: bool  # False: as fast as Kafka takes it
    options: StreamOptions


class TimedChunk(NamedTuple):
    """A chunk and its samples' indices in the stream, [start, end)."""

    chunk: AudioChunk
    start: int
    end: int


class OutgoingStream:
    """Cuts a stream's samples into chunks: `seq` counts them, `start` counts samples.

    The first record carries the options; the last has `end` and what is left, be it nothing.
    """

    def __init__(self, stream_id: str, wire: AudioFormat, options: PublishOptions) -> None:
        self._id, self._format, self._options = stream_id, wire, options
        self._samples_per_chunk = wire.rate * options.chunk_ms // 1000
        self._rest: Int16Array = np.empty((0, wire.channels), np.int16)
        self._seq = 0
        self._position = 0

    @property
    def empty(self) -> bool:
        """Whether there was never anything to send."""
        return not (self._seq or len(self._rest))

    @property
    def records(self) -> int:
        return self._seq

    @property
    def seconds(self) -> float:
        return self._position / self._format.rate

    def push(self, samples: Int16Array) -> Iterator[TimedChunk]:
        """The chunks that are full with these samples [n, channels]; numbered as they are taken."""
        self._rest = np.concatenate((self._rest, samples))
        while len(self._rest) >= self._samples_per_chunk:
            full, self._rest = np.split(self._rest, [self._samples_per_chunk])
            yield self._cut(full)

    def drop_rest(self) -> None:
        """Forget samples that fill no chunk yet: the stream ends before its time."""
        self._rest = self._rest[:0]

    def finish(self) -> TimedChunk:
        """The last record."""
        return self._cut(self._rest, end=True)

    def _cut(self, samples: Int16Array, *, end: bool = False) -> TimedChunk:
        chunk = AudioChunk(
            self._id,
            encoded(samples, self._format.rate, self._options.codec),
            self._options.codec,
            self._format.rate,
            self._format.channels,
            seq=self._seq,
            start=self._position,
            end=end,
            options=StreamOptions() if self._seq else self._options.options,
        )
        start = self._position
        self._seq += 1
        self._position += len(samples)
        return TimedChunk(chunk, start, self._position)
