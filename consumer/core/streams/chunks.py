"""Chunks, and their division into one stream per channel.

Call centres record each side of a call on a channel of its own. The channels of stream `call-7`
become the streams `call-7.0` and `call-7.1`; a record of one channel belongs to `call-7`. An end or
a flush without audio applies to all of these streams that are open.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from consumer.core.audio.format_hints import CHANNELS, Hint
from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.records import Record
from consumer.core.streams.state import Identity
from schemas.audio import MAX_CHANNELS, AudioChunk
from schemas.errors import Reason, WireError
from schemas.topics import MAX_STREAM_ID_CHARACTERS

_LONGEST = MAX_STREAM_ID_CHARACTERS - len(".0")


class Chunk(NamedTuple):
    """A decoded record: its headers and its samples."""

    record: Record
    audio: AudioChunk
    samples: Int16Array  # [n] mono
    rate: int  # Hz, of the payload where it states one
    channels: int  # before mixing to mono
    hints: tuple[Hint, ...] = ()  # what looks wrong with the payload
    wraps: tuple[str, ...] = ()  # numbers that are larger than stated (`wraparound.py`)

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def timestamp_ms(self) -> int:
        """Append time."""
        return self.record.timestamp_ms


def names(stream_id: str) -> tuple[str, ...]:
    """Return the ids of the streams that the channels of a stream make."""
    return tuple(f"{stream_id}.{channel}" for channel in range(MAX_CHANNELS))


def split(chunk: Chunk, samples: Int16Array) -> tuple[Chunk, ...]:
    """Return one chunk per channel of `samples` [n, channels].

    Raises `WireError` if the stream id is too long to be extended by a channel.
    """
    if samples.shape[1] == 1:
        return (chunk,)
    if len(chunk.audio.stream_id) > _LONGEST:
        raise WireError(
            Reason.BAD_STREAM_ID,
            f"the key has {len(chunk.audio.stream_id)} characters: {_LONGEST} at most, as each "
            "channel becomes a stream",
        )
    return tuple(
        chunk._replace(
            audio=replace(chunk.audio, stream_id=name, channels=1),
            samples=samples[:, channel],
            channels=1,
            hints=tuple(hint for hint in chunk.hints if hint.kind != CHANNELS),
        )
        for channel, name in enumerate(names(chunk.audio.stream_id)[: samples.shape[1]])
    )


def addressed(chunk: Chunk, is_open: Callable[[str], bool]) -> tuple[Chunk, ...]:
    """Return a chunk without audio once for each open stream of its channels."""
    stream_id = chunk.audio.stream_id
    opened = [name for name in (stream_id, *names(stream_id)) if is_open(name)] or [stream_id]
    return tuple(chunk._replace(audio=replace(chunk.audio, stream_id=name)) for name in opened)


def identity(chunk: Chunk) -> Identity:
    """Return what identifies a record: the payload alone does not, as many begin with silence."""
    return zlib.crc32(chunk.audio.payload), chunk.audio.start, chunk.audio.captured_ms


def wall_ms(chunk: Chunk) -> float:
    """Return the Unix time of the first sample: stated, or derived from the append time."""
    if chunk.audio.captured_ms is not None:
        return chunk.audio.captured_ms
    return chunk.timestamp_ms - len(chunk.samples) * 1000 / chunk.rate
