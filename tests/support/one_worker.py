"""A worker of one partition, step by step, that may be killed at any of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from builders import PARTITION, fresh, policy, score_all

from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.state import Restored, recover
from consumer.core.scheduling.jobs import Job
from consumer.core.streams.records import Record, UnreadableBatch
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.testing import EchoEngine, MemoryStore, echo
from schemas.transcript import AnyEvent, TranscriptFinal


class Worker:
    """One assignment of the partition, step by step; what is not committed dies with it."""

    def __init__(
        self,
        restored: Restored | None = None,
        store: MemoryStore | None = None,
        write: Callable[[Job], Hypothesis] = lambda job: echo(job.utterance.samples),
        **changes: float,
    ) -> None:
        self.store = store or MemoryStore()
        self.keeps_dying = False  # in the decodes that may have ended it before
        self.write = write
        self.task = PartitionTask(PARTITION, 1, policy(**changes), restored or fresh())
        self.jobs: list[Job] = []
        self.commits: list[Commit] = []
        self._engine = EchoEngine()

    def read(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        outcomes = self.take(*records, now=now)
        self.listen(now)
        return outcomes

    def take(self, *records: Record | UnreadableBatch, now: float = 0.0) -> list[Outcome | None]:
        """Without listening to them yet."""
        return [self.task.ingest(record, now) for record in records]

    def listen(self, now: float = 0.0) -> None:
        score_all(self.task, self._engine)
        self.jobs += self.task.jobs(now, 0)[0]

    def tick(self, now: float, *, caught_up: bool = True) -> None:
        self.task.tick(now, caught_up=caught_up)
        self.listen(now)

    def finish(self, job: Job) -> list[TranscriptFinal]:
        """Decode it; its final, and those of others that waited for it."""
        self.jobs.remove(job)
        decoded = TimedHypothesis(self.write(job), 1, 2, self.task.ledger.time_ms)
        jobs, finals = self.task.on_decoded(job.id, decoded, 0.0)
        self.jobs += jobs
        return finals

    def finish_all(self) -> None:
        """Also what may not begin before a commit."""
        while self.jobs or self.task.ledger.has_output:
            for job in list(self.jobs):
                self.finish(job)
            self.commit()

    def commit(self, *, progress: bool = True) -> Commit | None:
        commit = self.task.ledger.prepare(progress=progress)
        if commit is not None:
            self.store.write(commit)
            self.commits.append(commit)
            self.jobs += self.task.on_committed(commit, 0.0)
            self.listen()
            for job in [job for job in self.jobs if job.isolated and not self.keeps_dying]:
                self.finish(job)
                self.commit()
        return commit

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]


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
        worker.listen()
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
