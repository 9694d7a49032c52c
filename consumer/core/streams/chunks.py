"""A stream a channel: call centres record each side of a call on a channel of its own.

What the record of stream `call-7` holds goes to `call-7.0` and `call-7.1`; a record of one channel
stays with `call-7`. An end or a flush without audio is for all of them that are open.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.records import Record
from consumer.core.streams.state import Identity
from schemas.audio import MAX_CHANNELS, AudioChunk
from schemas.errors import Reason, WireError
from schemas.topics import MAX_STREAM_ID_CHARACTERS


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A record that could be read: what it says, and its sound."""

    record: Record
    audio: AudioChunk
    samples: Int16Array  # [n] mono
    rate: int  # Hz, the payload's own where it says one
    channels: int  # before they were mixed down

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def timestamp_ms(self) -> int:
        """Append time."""
        return self.record.timestamp_ms


_LONGEST = MAX_STREAM_ID_CHARACTERS - len(".0")


def names(stream_id: str) -> tuple[str, ...]:
    """Of the streams that a stream's channels make."""
    return tuple(f"{stream_id}.{channel}" for channel in range(MAX_CHANNELS))


def split(chunk: Chunk, samples: Int16Array) -> tuple[Chunk, ...]:
    """A chunk a channel of `samples` [n, channels]. Raises `WireError` for too long a name."""
    if samples.shape[1] == 1:
        return (chunk,)
    if len(chunk.audio.stream_id) > _LONGEST:
        raise WireError(
            Reason.BAD_STREAM_ID,
            f"the key has {len(chunk.audio.stream_id)} characters: {_LONGEST} at most, as each "
            "channel becomes a stream",
        )
    return tuple(
        replace(
            chunk,
            audio=replace(chunk.audio, stream_id=name, channels=1),
            samples=samples[:, channel],
            channels=1,
        )
        for channel, name in enumerate(names(chunk.audio.stream_id)[: samples.shape[1]])
    )


def addressed(chunk: Chunk, is_open: Callable[[str], bool]) -> tuple[Chunk, ...]:
    """A chunk without audio, for each of the open streams that its stream's channels made."""
    given = chunk.audio.stream_id
    found = [name for name in (given, *names(given)) if is_open(name)] or [given]
    return tuple(replace(chunk, audio=replace(chunk.audio, stream_id=name)) for name in found)


def identity(chunk: Chunk) -> Identity:
    """Position and time tell one silence from another, with which most streams begin."""
    return zlib.crc32(chunk.audio.payload), chunk.audio.start, chunk.audio.captured_ms


def wall_ms(chunk: Chunk) -> float:
    """When the first sample was spoken: as the publisher says, else just before it was appended."""
    if chunk.audio.captured_ms is not None:
        return chunk.audio.captured_ms
    return chunk.timestamp_ms - len(chunk.samples) * 1000 / chunk.rate
