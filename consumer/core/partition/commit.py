"""The content of a commit, and the outcomes of records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from consumer.core.partition.state import PartitionState
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Partition
from consumer.core.streams.state import StreamState
from schemas.transcript import AnyEvent


class Outcome(StrEnum):
    """The outcome of a record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead_letter"
    REFUSED = "refused"  # its stream exceeds a limit: counted, without a dead letter


class EntryId(NamedTuple):
    """Identifies an entry of the ledger."""

    stream_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Output and progress of one partition, committed together or not at all."""

    partition: Partition
    epoch: int  # of the task that prepared it
    events: tuple[AnyEvent, ...]  # per stream in media order
    dead_letters: tuple[DeadLetter, ...]
    state: PartitionState
    streams: tuple[tuple[str, StreamState | None], ...]  # changed ones; None: deleted
    published: tuple[tuple[str, int], ...]  # number of entries by stream
    dead_letter_count: int  # number of `dead_letters` of records, which go by offset
    attempts: tuple[EntryId, ...]  # decodes that may begin once this is committed
