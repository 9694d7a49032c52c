"""Records of the audio topics, unchecked, and the names of partitions, sessions, utterances."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from schemas.errors import Reason


class Lane(IntEnum):
    """Which audio topic a record came from; the smaller is served first."""

    LIVE = 0
    BULK = 1


class Partition(NamedTuple):
    """One input partition: what one assignment, one ledger and one transactional id are about."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as Kafka gave it; nothing about it has been checked."""

    partition: Partition
    offset: int
    timestamp_ms: int  # append time (the audio topics use LogAppendTime)
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def next_offset(self) -> int:
        return self.offset + 1


class UnreadableBatch(NamedTuple):
    """A batch of records that nobody can read, in their place in the log."""

    partition: Partition
    offset: int  # of its first record
    last_offset: int
    timestamp_ms: int | None  # append time; None: not known
    raw: bytes  # the batch as Kafka gave it
    reason: Reason
    message: str  # for people

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1


class Assignment(NamedTuple):
    """A partition that this worker is to serve from now on."""

    partition: Partition
    lane: Lane


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """The answer to one poll of Kafka; to be taken in the order of the fields."""

    assigned: tuple[Assignment, ...] | None = None  # all that is assigned now; None: as before
    out_of_range: tuple[Partition, ...] = ()  # whose next offset has been deleted
    records: tuple[Record | UnreadableBatch, ...] = ()
    caught_up: frozenset[Partition] = frozenset()  # of which no record waits in Kafka

    def by_partition(self) -> dict[Partition, list[Record | UnreadableBatch]]:
        """Return the records of each partition, in order."""
        found: dict[Partition, list[Record | UnreadableBatch]] = {}
        for record in self.records:
            found.setdefault(record.partition, []).append(record)
        return found


class SessionKey(NamedTuple):
    """Names one session of one stream."""

    partition: Partition
    stream_id: str
    session_id: str


class UtteranceId(NamedTuple):
    """Names one utterance of one session everywhere: logs, results, events."""

    session: SessionKey
    utterance: int
