"""What is written down of a partition, so that whoever reads it next goes on where it stopped.

All of a stream's state is *as of* its cut, the sample at which undecided audio begins, and none of
it as of now: reading on from `needed` makes everything behind the cut again, and nothing before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from consumer.core.language import UNKNOWN, LanguageHold
from schemas.audio import StreamOptions

Identity: TypeAlias = tuple[int, int | None, int | None]  # payload's crc32, position, wall time


@dataclass(frozen=True, slots=True)
class Order:
    """What the records so far say about the next one."""

    rate: int
    channels: int
    end: int  # index of the sample after the last one
    first_seq: int | None
    first: Identity  # of the session's first record
    next_seq: int | None
    last_samples: int  # of the last record that had any
    positioned: bool  # the last record said where it begins
    uncertain: bool = False  # records behind it were deleted unread, perhaps the session's end
    over: bool = False  # the session has ended; repeats of its records are known by this


@dataclass(frozen=True, slots=True)
class SessionState:
    """An open session as of its cut."""

    session_id: str
    rate: int
    channels: int
    options: StreamOptions  # complete
    traceparent: str | None
    cut: int  # index of the first undecided sample
    in_speech: bool  # the cut split a long utterance: speech goes on behind it
    origin: tuple[int, float]  # a sample and its Unix time in ms, from which time is reckoned
    events: int  # of the session so far: index of the next one
    utterances: int  # number of the next one
    gaps: int
    audio_samples: int
    speech_samples: int
    attempts: int = (
        0  # decodes of the next utterance that were begun and, as far as known, not ended
    )
    language: LanguageHold = UNKNOWN  # its language


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream id."""

    needed_offset: int | None  # F: lowest offset still needed; None: nothing is unfinished
    read_offset: int  # the offset behind the last record that was read as of the cut
    last_ms: int  # append time of its last record
    order: Order | None  # as it was before what is undecided
    session: SessionState | None  # None: none is open
    decided_offsets: tuple[
        int, ...
    ] = ()  # offsets above F that are decided: records before them came late

    @property
    def resume_offset(self) -> int:
        """Records below it are done with."""
        return self.read_offset if self.needed_offset is None else self.needed_offset


@dataclass(frozen=True, slots=True)
class Tally:
    """Records read, once each, by what became of them."""

    accepted: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    refused: int = 0  # over a cap, without a dead letter of its own


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How streams came lately, in append time (`consumer.core.caps`)."""

    level: float = 0.0  # streams that came faster than they may
    time_ms: int = 0  # of the level
    letter_ms: int | None = None  # of the newest dead letter of a record turned away


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One input partition, for one consumer group."""

    next_offset: int  # N: what goes by offset is done below it
    resume_offset: int  # R: where reading has to resume
    time_ms: int = 0  # append time of the newest record read
    clean: bool = True  # whoever wrote it had nothing in flight and was about to stop
    tally: Tally = Tally()
    arrivals: Arrivals | None = None  # None: streams let in below N may have no state of their own


@dataclass(frozen=True, slots=True)
class Restored:
    """What a task begins with."""

    partition: PartitionState
    streams: Mapping[str, StreamState] = field(default_factory=dict)
    log_end: int = 0  # whoever had the partition before has read nothing behind it
    deleted: int = 0  # records below it are gone, and some may not have been read


@dataclass(frozen=True, slots=True)
class Found:
    """What Kafka holds of a partition when it is assigned."""

    partition: PartitionState | None  # None: the state topic has no record of it
    streams: Mapping[str, StreamState]
    group_offset: int | None
    log_start: int
    log_end: int


class Halt(Exception):  # noqa: N818 - named by what to do
    """Going on could lose or repeat speech: an operator has to decide."""


def recover(found: Found, *, from_earliest: bool) -> Restored:
    """Where to go on. Raises `Halt` when what was found contradicts itself."""
    state = found.partition
    if state is None:
        if found.group_offset is not None:
            raise Halt(
                f"the group has read up to offset {found.group_offset}, but the state topic holds "
                "nothing of this partition: restore the state topic, or accept that speech may be "
                "lost or repeated"
            )
        begin = found.log_start if from_earliest else found.log_end
        return Restored(PartitionState(begin, begin), log_end=found.log_end)
    if state.next_offset > found.log_end:
        raise Halt(
            f"offset {state.next_offset} was read before, but the log ends at {found.log_end}: the "
            "topic was deleted and created again, or lost what it had acknowledged"
        )
    kept = replace(
        state,
        next_offset=max(state.next_offset, found.log_start),
        resume_offset=max(state.resume_offset, found.log_start),
    )
    deleted = found.log_start if state.resume_offset < found.log_start else 0
    return Restored(kept, found.streams, found.log_end, deleted)
