"""The shells of the service as Protocols: what the pipeline asks of Kafka, the model and the clock.

`consumer.service` wires the real ones, `consumer.testing` has doubles of all of them. Errors are
those of `consumer.errors`, named by what the caller has to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found
from consumer.core.partition.step import DecodedRecord, RejectedRecord
from consumer.core.scheduling.jobs import Batch
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Lane, Partition, Poll, Record
from consumer.core.text.hypothesis import Hypothesis
from schemas.transcript import AnyEvent


class RecordSource(Protocol):
    """One member of the consumer group. Offsets to read from are the caller's business."""

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Wait a moment for records of these lanes and for changes of the assignment.

        Raises `Retriable` when no broker answers; the next call continues where this one began.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read the partition from `offset` on; what was fetched before is dropped."""

    def pause(self, partition: Partition) -> None:
        """Stop reading the partition, until the next `seek`."""

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Store the resume offset of each partition as the group's, for lag dashboards alone.

        Raises `Retriable`, `Fenced`.
        """


class Journal(Protocol):
    """Output and progress of one partition; whoever opens it next fences this one."""

    found: Found

    async def commit(self, commit: Commit) -> None:
        """Publish and write down all of the commit, or nothing.

        Raises `Fenced`, `Retriable` (the outcome is not known), `ConfigError` (Kafka refuses).
        After any error the journal cannot be used again.
        """

    async def close(self) -> None: ...


class Store(Protocol):
    """Where the progress of partitions is kept."""

    async def open(self, partition: Partition) -> Journal:
        """Fence the previous owner and read its progress. Raises as `Journal.commit` does."""


class Codecs(Protocol):
    """What reads the audio of records."""

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        """Return the audio of the record, or None for a container, which `decode` is for."""

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        """Decode a container, without blocking the event loop."""


class SpeechDetector(Protocol):
    """Voice-activity detection, on a thread of its own."""

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        """Return the speech probability of every window that each request completes."""


class Engine(Protocol):
    """The model, on a thread of its own."""

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """Return one hypothesis a job, in order. Raises `DeviceLost`."""


class Broadcast(Protocol):
    """Where partials go: outside transactions, nobody waits for them."""

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Raises `Retriable`, `ConfigError`; the events are not sent again."""


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return seconds."""

    def unix_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Shells:
    """What one worker is connected to."""

    source: RecordSource
    codecs: Codecs
    detector: SpeechDetector
    engine: Engine
    store: Store
    broadcast: Broadcast
    clock: Clock


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Intervals of the service, in seconds."""

    coalesce_s: float  # finals that come within it leave in one commit
    progress_s: float  # between two commits of progress alone, at least
    retry_s: float  # before a partition is opened again
    halt_s: float  # likewise, where only an operator can help
    drain_s: float  # from the request to stop to the end
