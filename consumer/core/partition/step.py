"""Inputs and effects of one step of a partition: values only.

The shell executes the effects and passes the results as the next inputs. It scores until
`score_requests` is empty, all partitions in one call, and only then submits the jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Commit, Outcome
from consumer.core.scheduling.jobs import Job, JobFailure
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Record, UnreadableBatch, UtteranceId
from consumer.core.text.hypothesis import TimedHypothesis
from schemas.errors import Reason
from schemas.transcript import AnyEvent, TranscriptFinal


class DecodedRecord(NamedTuple):
    """A record and its audio: one chunk, or one per channel."""

    record: Record
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RejectedRecord:
    """A record that cannot be used, or exceeds a limit."""

    record: Record
    reason: Reason | None  # of its dead letter; None: counted without one
    message: str = ""  # for people


IncomingRecord: TypeAlias = DecodedRecord | RejectedRecord | UnreadableBatch


@dataclass(frozen=True, slots=True, eq=False)
class Decode:
    """The engine's reply to a job."""

    job: Job
    text: TimedHypothesis | JobFailure


class ContainedError(NamedTuple):
    """An unexpected exception that cost a text, and nothing else."""

    id: UtteranceId
    stage: Literal["partial", "final"]
    error: Exception


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What has happened since the last step, handled in the order of the fields."""

    now: float  # monotonic seconds
    now_ms: int  # Unix time
    committed: Commit | None = None  # the open commit, if it was made
    started: Sequence[UtteranceId] = ()  # finals that the engine has taken
    decodes: Sequence[Decode] = ()
    scores: Sequence[tuple[ScoreRequest, Float32Array | None]] = ()  # None: they failed
    records: Sequence[IncomingRecord] = ()  # in offset order
    caught_up: bool | None = None  # whether no record waits in Kafka; None: not a poll


@dataclass(slots=True, eq=False)
class Effects:
    """The work that a step requests from the shell."""

    score_requests: list[ScoreRequest] = field(default_factory=list)
    submit: list[Job] = field(default_factory=list)
    cancel: list[UtteranceId] = field(default_factory=list)  # finals that need no decode
    broadcast: list[AnyEvent] = field(default_factory=list)  # outside transactions
    finals: list[TranscriptFinal] = field(default_factory=list)  # for metrics alone
    contained: list[ContainedError] = field(default_factory=list)  # to be reported
    outcomes: list[Outcome | None] = field(default_factory=list)  # per record; None: counted before
    commit_due: bool = False  # a commit would publish something, or permit a decode
