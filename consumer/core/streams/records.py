"""Records of the audio topics as fetched, and the ids of partitions, sessions and utterances."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

from schemas.audio import MAX_POSITION
from schemas.audio_headers import select
from schemas.errors import Reason, WireError
from schemas.headers import decimal, flag


class Lane(IntEnum):
    """Which audio topic a record came from; the smaller is served first."""

    LIVE = 0
    BULK = 1


class Partition(NamedTuple):
    """One input partition: it has one assignment, one ledger and one transactional id."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as fetched from Kafka, not validated."""

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
    """A record batch that cannot be read, in the place of its records."""

    partition: Partition
    offset: int  # of its first record
    last_offset: int
    timestamp_ms: int | None  # append time; None: not known
    raw: bytes  # the batch as fetched
    reason: Reason
    message: str  # for people

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1


class Assignment(NamedTuple):
    """A partition that the group has assigned to this worker."""

    partition: Partition
    lane: Lane


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """The result of one poll of Kafka; its fields are to be handled in this order."""

    assigned: tuple[Assignment, ...] | None = None  # all assigned partitions; None: unchanged
    out_of_range: tuple[Partition, ...] = ()  # their next offset has been deleted
    records: tuple[Record | UnreadableBatch, ...] = ()
    caught_up: frozenset[Partition] = frozenset()  # no record of them waits in Kafka

    def by_partition(self) -> dict[Partition, list[Record | UnreadableBatch]]:
        """Return the records of each partition, in order."""
        found: dict[Partition, list[Record | UnreadableBatch]] = {}
        for record in self.records:
            found.setdefault(record.partition, []).append(record)
        return found


class StatedHeaders(NamedTuple):
    """The headers of an unusable record on its place in the stream, as far as they are valid."""

    seq: int | None = None
    end: bool = False

    @classmethod
    def of(cls, record: Record) -> Self:
        seq, end = None, False
        with suppress(WireError):
            seq = decimal(select(record.headers, {"seq"})[0], "seq", most=MAX_POSITION)
        with suppress(WireError):
            end = flag(select(record.headers, {"end"})[0], "end")
        return cls(seq, end)


class SessionKey(NamedTuple):
    """Identifies one session of one stream."""

    partition: Partition
    stream_id: str
    session_id: str


class UtteranceId(NamedTuple):
    """Identifies one utterance of one session, in logs, results and events."""

    session: SessionKey
    utterance: int
