"""A worker of one partition, driven step by step, which may be killed after any step."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from builders import PARTITION, fresh, policy, read
from hypothesis import strategies as st

from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.faults import Exclusions
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.state import Restored, recover
from consumer.core.partition.step import (
    ContainedError,
    Decode,
    DecodedRecord,
    Effects,
    Inputs,
    RejectedRecord,
)
from consumer.core.scheduling.jobs import Job, JobFailure, JobKind
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Record, UnreadableBatch
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.testing import EchoEngine, MemoryStore, echo
from schemas.errors import WireError
from schemas.transcript import AnyEvent, TranscriptFinal


class Worker:
    """One assignment of the partition, driven step by step; uncommitted work is lost with it.

    `jobs` are the requested decodes of finals, `interims` those of open utterances.
    """

    def __init__(
        self,
        restored: Restored | None = None,
        store: MemoryStore | None = None,
        write: Callable[[Job], Hypothesis | JobFailure] = lambda job: echo(job.utterance.samples),
        exclusions: Exclusions | None = None,
        **changes: Any,
    ) -> None:
        self.store = store or MemoryStore()
        self.crashes_on_suspects = False  # does not answer decodes of suspects
        self.write = write
        self.read_record: Callable[[Record], tuple[Chunk, ...]] = lambda record: (read(record),)
        self.task = PartitionTask(
            PARTITION, 1, policy(**changes), restored or fresh(), exclusions=exclusions
        )
        self.jobs: list[Job] = []
        self.interims: list[Job] = []
        self.broadcast: list[AnyEvent] = []
        self.finals: list[TranscriptFinal] = []
        self.contained: list[ContainedError] = []
        self.commits: list[Commit] = []
        self.now_ms = 0
        self._to_score: list[ScoreRequest] = []
        self._engine = EchoEngine()

    def step(self, now: float = 0.0, **inputs: Any) -> Effects:
        """Run one step of the task and record its effects; `score` answers its score requests."""
        effects = self.task.step(Inputs(now, self.now_ms, **inputs))
        self.jobs = [job for job in self.jobs if job.id not in effects.cancel]
        self.jobs += [job for job in effects.submit if job.kind is JobKind.FINAL]
        self.interims += [job for job in effects.submit if job.kind is JobKind.INTERIM]
        self._to_score += effects.score_requests
        self.broadcast += effects.broadcast
        self.finals += effects.finals
        self.contained += effects.contained
        return effects

    def read(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        outcomes = self.take(*records, now=now)
        self.score(now)
        return outcomes

    def take(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        """Read records without scoring them yet."""
        outcomes: list[Outcome | None] = []
        for record in records:
            outcomes += self.step(now, records=[self._incoming(record)]).outcomes
        return outcomes

    def score(self, now: float = 0.0) -> None:
        """Answer score requests until there are none."""
        while self._to_score:
            requests, self._to_score = self._to_score, []
            scores = [(request, self._engine.score_one(request)) for request in requests]
            self.step(now, scores=scores)

    def tick(self, now: float, *, caught_up: bool = True) -> None:
        self.step(now, caught_up=caught_up)
        self.score(now)

    def finish(self, job: Job, now: float = 0.0) -> list[TranscriptFinal]:
        """Decode a job; return its final, and the finals that waited for it."""
        (self.jobs if job.kind is JobKind.FINAL else self.interims).remove(job)
        return self.answer(job, self.write(job), now)

    def answer(
        self, job: Job, reply: Hypothesis | JobFailure, now: float = 0.0
    ) -> list[TranscriptFinal]:
        """Answer a job, even one that is not outstanding; return the finals that result."""
        before = len(self.finals)
        if isinstance(reply, Hypothesis):
            text = TimedHypothesis(reply, 1, 2, self.task.ledger.time_ms)
            self.step(now, decodes=[Decode(job, text)])
        else:
            self.step(now, decodes=[Decode(job, reply)])
        return self.finals[before:]

    def finish_all(self) -> None:
        """Decode all finals, committing so that decodes that wait for a commit can begin."""
        while self.jobs or self.task.ledger.has_output:
            for job in list(self.jobs):
                self.finish(job)
            self.commit()

    def commit(self, *, progress: bool = True, clean: bool = False) -> Commit | None:
        commit = self.task.prepare_commit(progress=progress, clean=clean)
        if commit is not None:
            self.store.write(commit)
            self.commits.append(commit)
            self.step(committed=commit)
            self.score()
            for job in [job for job in self.jobs if job.isolated and not self.crashes_on_suspects]:
                self.finish(job)
                self.commit()
        return commit

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]

    def _incoming(
        self, record: Record | UnreadableBatch
    ) -> DecodedRecord | RejectedRecord | UnreadableBatch:
        """Return the record as the service passes it to the partition."""
        if isinstance(record, UnreadableBatch):
            return record
        if (rejected := self.task.admit(record)) is not None:
            return rejected
        try:
            return DecodedRecord(record, self.read_record(record))
        except WireError as error:
            return RejectedRecord(record, error.reason, str(error))


def drive_randomly(
    worker: Worker, records: Sequence[Record | UnreadableBatch], rng: random.Random
) -> None:
    """Read in polls of random size, with answers in random order and commits at random times."""
    at = 0
    while at < len(records):
        size = rng.randint(1, 12)
        worker.take(*records[at : at + size])
        at += size
        if rng.random() < 0.3:
            worker.commit(progress=rng.random() < 0.5)  # while scores are outstanding
        worker.score()
        while worker.jobs and rng.random() < 0.6:
            worker.finish(rng.choice(worker.jobs))
        if rng.random() < 0.3:
            worker.commit(progress=rng.random() < 0.5)


def without_timing(event: AnyEvent) -> AnyEvent:
    """Return the event without its measured times."""
    return replace(event, timing=None) if isinstance(event, TranscriptFinal) else event


crash_seeds = st.lists(st.integers(0, 1 << 16), max_size=5)


def run_with_crashes(
    records: Sequence[Record | UnreadableBatch],
    crashes: Sequence[int],
    *,
    ticks: bool = False,
    **changes: Any,
) -> MemoryStore:
    """Run a worker per crash seed, each from the last commit of the one before, then a last one."""
    store = MemoryStore(log_end=len(records))
    for seed in [*crashes, None]:
        rng = random.Random(seed)
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store, **changes)
        remaining = records[worker.task.ledger.position :]
        if seed is not None:
            remaining = remaining[: rng.randint(0, len(remaining))]
        drive_randomly(worker, remaining, rng)
        if ticks:
            worker.tick(rng.choice([0.0, 3.0, 301.0]), caught_up=rng.random() < 0.5)
        if seed is None:
            worker.tick(0.0)
            worker.tick(1_000.0)
            worker.finish_all()
            worker.commit()
    return store


def sorted_by_stream(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Sort by stream, as the order between streams is not guaranteed."""
    return sorted(events, key=lambda event: event.stream_id)
