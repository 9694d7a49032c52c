"""Cut one stream's samples into numbered chunks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from producer.conversion import Int16Array, encoded
from producer.formats import AudioFormat
from schemas.audio import AudioChunk, AudioCodec, StreamOptions


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How streams are published."""

    codec: AudioCodec
    chunk_ms: int
    realtime: bool  # False: as fast as Kafka accepts it
    options: StreamOptions
    run: str | None = None  # id of this run of the publisher, on every record


class TimedChunk(NamedTuple):
    """A chunk and the range of its samples in the stream, [start, end)."""

    chunk: AudioChunk
    start: int
    end: int


class OutgoingStream:
    """Cuts a stream's samples into chunks: `seq` counts them, `start` counts samples.

    The first chunk has the options; the last has `end` and the remaining samples, if any.
    """

    def __init__(self, stream_id: str, wire: AudioFormat, options: PublishOptions) -> None:
        self._id, self._format, self._options = stream_id, wire, options
        self._samples_per_chunk = wire.rate * options.chunk_ms // 1000
        self._rest: Int16Array = np.empty((0, wire.channels), np.int16)
        self._seq = 0
        self._position = 0

    @property
    def empty(self) -> bool:
        """Whether there are no samples, sent or waiting."""
        return not (self._seq or len(self._rest))

    @property
    def records(self) -> int:
        return self._seq

    @property
    def seconds(self) -> float:
        return self._position / self._format.rate

    def push(self, samples: Int16Array) -> Iterator[TimedChunk]:
        """Add samples [n, channels] and yield each full chunk, numbered when it is yielded."""
        self._rest = np.concatenate((self._rest, samples))
        while len(self._rest) >= self._samples_per_chunk:
            full, self._rest = np.split(self._rest, [self._samples_per_chunk])
            yield self._cut(full)

    def drop_rest(self) -> None:
        """Drop the samples of the incomplete chunk: the stream is ended early."""
        self._rest = self._rest[:0]

    def finish(self) -> TimedChunk:
        """Return the last chunk."""
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
            run=self._options.run,
        )
        start = self._position
        self._seq += 1
        self._position += len(samples)
        return TimedChunk(chunk, start, self._position)
