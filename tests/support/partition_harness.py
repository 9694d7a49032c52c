"""A worker of one partition, step by step, that may be killed at any of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from builders import PARTITION, fresh, policy, read

from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.state import Restored, recover
from consumer.core.partition.step import Decode, DecodedRecord, Effects, Inputs, RejectedRecord
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Record, UnreadableBatch
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.testing import EchoEngine, MemoryStore, echo
from schemas.errors import WireError
from schemas.transcript import AnyEvent, TranscriptFinal


class Worker:
    """One assignment of the partition, step by step; what is not committed dies with it.

    `jobs` are finals that the engine has been asked for, `interims` open utterances likewise.
    """

    def __init__(
        self,
        restored: Restored | None = None,
        store: MemoryStore | None = None,
        write: Callable[[Job], Hypothesis] = lambda job: echo(job.utterance.samples),
        **changes: Any,
    ) -> None:
        self.store = store or MemoryStore()
        self.keeps_dying = False  # in the decodes that may have ended it before
        self.write = write
        self.read_record: Callable[[Record], tuple[Chunk, ...]] = lambda record: (read(record),)
        self.task = PartitionTask(PARTITION, 1, policy(**changes), restored or fresh())
        self.jobs: list[Job] = []
        self.interims: list[Job] = []
        self.broadcast: list[AnyEvent] = []
        self.finals: list[TranscriptFinal] = []
        self.commits: list[Commit] = []
        self.now_ms = 0
        self._to_score: list[ScoreRequest] = []
        self._engine = EchoEngine()

    def step(self, now: float = 0.0, **inputs: Any) -> Effects:
        """Give the task these inputs, and do what it says but for scoring."""
        effects = self.task.step(Inputs(now, self.now_ms, **inputs))
        self.jobs = [job for job in self.jobs if job.id not in effects.cancel]
        self.jobs += [job for job in effects.submit if job.kind is JobKind.FINAL]
        self.interims += [job for job in effects.submit if job.kind is JobKind.INTERIM]
        self._to_score += effects.score_requests
        self.broadcast += effects.broadcast
        self.finals += effects.finals
        return effects

    def read(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        outcomes = self.take(*records, now=now)
        self.score(now)
        return outcomes

    def take(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        """Take records in without scoring them yet."""
        outcomes: list[Outcome | None] = []
        for record in records:
            outcomes += self.step(now, records=[self._incoming(record)]).outcomes
        return outcomes

    def score(self, now: float = 0.0) -> None:
        """Answer score requests until there are none."""
        while self._to_score:
            asked, self._to_score = self._to_score, []
            scores = [(request, self._engine.score_one(request)) for request in asked]
            self.step(now, scores=scores)

    def tick(self, now: float, *, caught_up: bool = True) -> None:
        self.step(now, caught_up=caught_up)
        self.score(now)

    def finish(self, job: Job, now: float = 0.0) -> list[TranscriptFinal]:
        """Decode a job; return its final, and those of others that waited for it."""
        (self.jobs if job.kind is JobKind.FINAL else self.interims).remove(job)
        return self.answer(job, self.write(job), now)

    def answer(self, job: Job, hypothesis: Hypothesis, now: float = 0.0) -> list[TranscriptFinal]:
        """Give the text of a job, whether it is waited for or not; return the finals it brings."""
        before = len(self.finals)
        text = TimedHypothesis(hypothesis, 1, 2, self.task.ledger.time_ms)
        self.step(now, decodes=[Decode(job, text)])
        return self.finals[before:]

    def finish_all(self) -> None:
        """Decode all finals, also those that may not begin before a commit."""
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
            for job in [job for job in self.jobs if job.isolated and not self.keeps_dying]:
                self.finish(job)
                self.commit()
        return commit

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]

    def _incoming(
        self, record: Record | UnreadableBatch
    ) -> DecodedRecord | RejectedRecord | UnreadableBatch:
        """As the service admits and reads it."""
        if isinstance(record, UnreadableBatch):
            return record
        if (rejected := self.task.admit(record)) is not None:
            return rejected
        try:
            return DecodedRecord(record, self.read_record(record))
        except WireError as error:
            return RejectedRecord(record, error.reason, str(error))


def work(
    worker: Worker, records: Sequence[Record | UnreadableBatch], chance: random.Random
) -> None:
    """Read in polls of any size; results come in any order, commits at any time or never."""
    at = 0
    while at < len(records):
        size = chance.randint(1, 12)
        worker.take(*records[at : at + size])
        at += size
        if chance.random() < 0.3:
            worker.commit(progress=chance.random() < 0.5)  # while the detector is at work
        worker.score()
        while worker.jobs and chance.random() < 0.6:
            worker.finish(chance.choice(worker.jobs))
        if chance.random() < 0.3:
            worker.commit(progress=chance.random() < 0.5)


def said(event: AnyEvent) -> AnyEvent:
    """What an event says, but for the time that it took."""
    return replace(event, timing=None) if isinstance(event, TranscriptFinal) else event


def survive(
    records: Sequence[Record | UnreadableBatch],
    crashes: Sequence[int],
    *,
    ticks: bool = False,
    **changes: Any,
) -> MemoryStore:
    """Workers one after the other, each going on where the one before was killed."""
    store = MemoryStore(log_end=len(records))
    for seed in [*crashes, None]:
        chance = random.Random(seed)
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store, **changes)
        left = records[worker.task.ledger.position :]
        work(worker, left if seed is None else left[: chance.randint(0, len(left))], chance)
        if ticks:
            worker.tick(chance.choice([0.0, 3.0, 301.0]), caught_up=chance.random() < 0.5)
        if seed is None:
            worker.tick(0.0)
            worker.tick(1_000.0)
            worker.finish_all()
            worker.commit()
    return store


def sorted_by_stream(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Between streams no order is promised."""
    return sorted(events, key=lambda event: event.stream_id)
