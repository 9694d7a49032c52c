"""What is written down of a partition, and how its next owner recovers from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consumer.core.streams.state import StreamState


@dataclass(frozen=True, slots=True)
class Tally:
    """Records read, once each, by what became of them."""

    accepted: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    refused: int = 0  # over a cap, without a dead letter of its own


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How streams came lately, in append time (`core.partition.stream_admission`)."""

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
