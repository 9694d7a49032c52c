"""The committed state of a partition, and how its next owner resumes from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consumer.core.streams.state import StreamState


@dataclass(frozen=True, slots=True)
class Tally:
    """Number of records by outcome; each record is counted once."""

    accepted: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    refused: int = 0  # over a limit, without a dead letter


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The recent rate of new streams, in append time (`core.partition.stream_admission`)."""

    level: float = 0.0  # of the leaky bucket, in streams
    time_ms: int = 0  # of the level
    letter_ms: int | None = None  # of the newest dead letter of a rejected record


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One input partition, for one consumer group."""

    next_offset: int  # N: below it, dead letters and tallies are complete
    resume_offset: int  # R: the offset to resume reading from
    time_ms: int = 0  # append time of the newest record read
    clean: bool = True  # committed with nothing in flight, right before a stop
    tally: Tally = Tally()
    arrivals: Arrivals | None = None  # None: streams admitted below N may have no state


@dataclass(frozen=True, slots=True)
class Restored:
    """The state that a partition task begins with."""

    partition: PartitionState
    streams: Mapping[str, StreamState] = field(default_factory=dict)
    log_end: int = 0  # no earlier owner has read records from here on
    deleted: int = 0  # records below it are deleted, some perhaps unread


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """The offset that the consumer group has stored for a partition."""

    offset: int
    by_worker: bool = True  # else by an operator, as the start of a new group


@dataclass(frozen=True, slots=True)
class Found:
    """The state of a partition in Kafka when it is assigned."""

    partition: PartitionState | None  # None: the state topic has no record of it
    streams: Mapping[str, StreamState]
    group_offset: GroupOffset | None
    log_start: int
    log_end: int


class Halt(Exception):  # noqa: N818 - named by what to do
    """Continuing could lose or repeat speech: an operator has to decide."""


def recover(found: Found, *, from_earliest: bool) -> Restored:
    """Return the state to resume from. Raises `Halt` if what was found is contradictory."""
    state = found.partition
    if state is None:
        begin = _first_offset(found, from_earliest=from_earliest)
        return Restored(PartitionState(begin, begin), log_end=found.log_end)
    if state.next_offset > found.log_end:
        raise Halt(
            f"offset {state.next_offset} was read before, but the log ends at {found.log_end}: the "
            "topic was deleted and created again, or lost acknowledged records"
        )
    kept = replace(
        state,
        next_offset=max(state.next_offset, found.log_start),
        resume_offset=max(state.resume_offset, found.log_start),
    )
    deleted = found.log_start if state.resume_offset < found.log_start else 0
    return Restored(kept, found.streams, found.log_end, deleted)


def _first_offset(found: Found, *, from_earliest: bool) -> int:
    """Return the offset at which a group without state of the partition begins."""
    group = found.group_offset
    if group is None:
        return found.log_start if from_earliest else found.log_end
    if group.by_worker:
        raise Halt(
            f"the group has read up to offset {group.offset}, but the state topic holds nothing of "
            "this partition: restore the state topic, or accept that speech may be lost or repeated"
        )
    if group.offset > found.log_end:
        raise Halt(
            f"offset {group.offset} of the group was set by hand, but the log ends at "
            f"{found.log_end}: set a lower one with kafka-consumer-groups --reset-offsets"
        )
    return max(group.offset, found.log_start)
