"""What one commit holds, and what becomes of a record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from consumer.core.partition.state import PartitionState
from consumer.core.streams.entries import DeadLetter, EntryId
from consumer.core.streams.records import Partition
from consumer.core.streams.state import StreamState
from schemas.transcript import AnyEvent


class Outcome(StrEnum):
    """What became of a record."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    DEAD_LETTER = "dead_letter"
    REFUSED = "refused"  # of a stream over a cap: counted, and no more


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit holds: output and progress, never one without the other."""

    partition: Partition
    epoch: int  # of the task that prepared it
    events: tuple[AnyEvent, ...]  # per stream in media order
    dead_letters: tuple[DeadLetter, ...]
    state: PartitionState
    streams: tuple[tuple[str, StreamState | None], ...]  # those that moved; None: forgotten
    published: tuple[tuple[str, int], ...]  # entries taken of each stream's queue
    dead_letter_count: int  # dead letters by offset among them
    attempts: tuple[EntryId, ...]  # decodes that may begin once this is committed
