"""The interfaces of the pipeline to Kafka, the codecs, the model and the clock, as Protocols.

`consumer.service` wires the real implementations, `consumer.testing` has test doubles of all. They
raise the errors of `consumer.errors`, which are named by what the caller must do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found
from consumer.core.partition.step import Decode, DecodedRecord, RejectedRecord
from consumer.core.scheduling.jobs import Batch, Job, JobFailure
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Lane, Partition, Poll, Record, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from schemas.transcript import AnyEvent, Model


class RecordSource(Protocol):
    """One member of the consumer group. The caller sets the offsets to read from."""

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Wait for records of these lanes or a new assignment, for a moment at most.

        Raises `Retriable` if no broker responds; the next call continues at the same offsets.
        """

    def seek(self, partition: Partition, offset: int) -> None:
        """Read the partition from `offset` on; records fetched before are dropped."""

    def pause(self, partition: Partition) -> None:
        """Stop reading the partition until the next `seek`."""

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the resume offset of each partition for the group, for lag dashboards only.

        Raises `Retriable`, `Fenced`.
        """


class Journal(Protocol):
    """The transactional writer of one partition; opening it again fences this one."""

    found: Found

    async def commit(self, commit: Commit) -> None:
        """Publish the output and write the state of the commit, in one transaction.

        Raises `Fenced`, `Retriable` (the outcome is unknown), `ConfigError` (Kafka rejects it).
        After an error the journal cannot be used again.
        """

    async def close(self) -> None: ...


class Store(Protocol):
    """The storage of the partitions' state."""

    async def open(self, partition: Partition) -> Journal:
        """Fence the previous owner and read its state. Raises as `Journal.commit` does."""


class Codecs(Protocol):
    """Decoding of the audio of records."""

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        """Return the audio of the record, or None for a container, which needs `decode`."""

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        """Decode a container, without blocking the event loop."""


class SpeechDetector(Protocol):
    """Voice activity detection, on a thread of its own."""

    async def score(self, requests: Sequence[ScoreRequest]) -> Sequence[Float32Array | None]:
        """Return, for each request, the speech probabilities of the windows it completes.

        None: the detector raised an unexpected exception. `VadState` states how to go on.
        """


class BatchTranscriber(Protocol):
    """The model, on a thread of its own."""

    async def transcribe(self, batch: Batch) -> Sequence[Hypothesis | JobFailure]:
        """Return one reply per job, in order. Raises `DeviceLost`."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a worker has to know of the model."""

    model: Model
    languages: frozenset[str]  # Whisper codes


@dataclass(frozen=True, slots=True, eq=False)
class EngineReport:
    """What an engine has done since its last report."""

    started: Sequence[Job] = ()  # their decode begins now
    decodes: Sequence[Decode] = ()  # replies
    dropped: Sequence[Job] = ()  # interims that were superseded, or are past their deadline


class Engine(Protocol):
    """The planner and the model behind it, in this process or in one of its own."""

    def submit(self, jobs: Sequence[Job]) -> None:
        """Add jobs; each gets one reply, unless it is cancelled or dropped."""

    def cancel(self, id_: UtteranceId) -> None:
        """Cancel the waiting final of that utterance."""

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        """Cancel the jobs of partitions that were revoked or opened again since."""

    async def next_report(self) -> EngineReport | None:
        """Wait for the next report. None: `drain` was called, and no job waits.

        Raises `DeviceLost`.
        """

    def drain(self) -> None:
        """End after the jobs that wait and those that their replies cause."""

    def waiting_jobs(self) -> int:
        """Return the number of jobs that wait."""

    def waiting_s(self, lane: Lane) -> float:
        """Return the seconds of speech that wait."""


class Broadcast(Protocol):
    """Publishing of partials, outside transactions."""

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Publish the events. Raises `Retriable`, `ConfigError`; they are not sent again."""


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return monotonic seconds."""

    def unix_ms(self) -> int:
        """Return Unix time."""

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Shells:
    """The implementations that one worker uses."""

    source: RecordSource
    codecs: Codecs
    detector: SpeechDetector
    engine: Engine
    store: Store
    broadcast: Broadcast
    clock: Clock


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Intervals and deadlines of the service, in seconds."""

    coalesce_s: float  # finals within it share a commit
    progress_s: float  # at least, between two commits of progress alone
    retry_s: float  # before a partition is opened again
    halt_s: float  # likewise, after a halt
    drain_s: float  # at most, from the request to stop to the end
