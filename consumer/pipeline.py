"""The whole motion on one page: ingest | dispatch | publish.

    Kafka --poll--> ingest: records -> chunks -> speech scores -> utterances -> planner
                    dispatch: planner -> batch -> Whisper -> texts
                    publish: texts -> events and progress, committed together --> Kafka

What to do is decided in `consumer.core`; this file only moves values between the decisions and the
three shells it knows as Protocols.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from consumer.core.admission import Admission
from consumer.core.events import Decoded
from consumer.core.partition import PartitionPolicy, PartitionTask
from consumer.core.planner import Planner
from consumer.core.progress import Commit
from consumer.core.shadow import Shadow, disagreement
from consumer.core.values import (
    Assignment,
    Batch,
    Float32Array,
    Hypothesis,
    Job,
    Lane,
    Listen,
    Partition,
    Poll,
    Record,
)
from consumer.errors import Retriable
from consumer.metrics import Metrics

log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where records come from."""

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Wait a moment for records of these lanes, and for changes of the assignment.

        Raises `Retriable` when there is no answer; the next call goes on where this one began.
        """


class Sink(Protocol):
    """Where events and progress go."""

    async def commit(self, commits: Sequence[Commit]) -> list[Commit]:
        """Make them; the ones that stand. The rest belongs to another worker now.

        Raises `Retriable` when the same commits have to be tried again.
        """


class Engine(Protocol):
    """Hears and writes, on threads of its own."""

    async def score(self, requests: Sequence[Listen]) -> list[Float32Array]:
        """Speech probabilities of every window that each request completes."""

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """One hypothesis a job, in order."""


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds."""

    def unix_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """When things happen that nothing else brings about; seconds."""

    coalesce_s: float  # finals that come within it leave in one commit
    progress_s: float  # a commit of progress alone, at most this often
    retry_s: float  # before a commit is tried again
    drain_s: float  # from the wish to stop to the end


class Pipeline:
    """One worker's life; `run` returns after a clean stop and raises otherwise."""

    def __init__(
        self,
        shells: tuple[Source, Engine, Sink],
        policies: Mapping[Lane, PartitionPolicy],
        planner: Planner,
        admissions: Mapping[Lane, Admission],
        *,
        shadow: Shadow,
        pace: Pace,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._source, self._engine, self._sink = shells
        self._policies = policies
        self._planner = planner
        self._admissions = admissions
        self._shadow = shadow
        self._pace = pace
        self._metrics = metrics
        self._clock = clock
        self._tasks: dict[Partition, PartitionTask] = {}
        self._work = _Bell()  # rung when a job waits
        self._output = _Bell()  # rung when a commit would publish something

    async def run(self, stop: asyncio.Event) -> None:
        """Raises `TimeoutError` when what was in flight is not out within `drain_s` of `stop`."""
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(self._ingest(stop), name="ingest")
            group.create_task(self._dispatch(), name="dispatch")
            group.create_task(self._publish(), name="publish")
            await stop.wait()
            limit.reschedule(asyncio.get_running_loop().time() + self._pace.drain_s)

    # --- ingest

    async def _ingest(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            poll = await self._poll()
            if poll.revoked:
                self._release(poll.revoked)
            self._adopt(poll.assigned)
            self._read(poll.records)
            self._tick(poll.caught_up)
            await self._listen()
            self._plan()
        self._work.close()

    async def _poll(self) -> Poll:
        try:
            return await self._source.poll(self._admitted())
        except Retriable as error:
            log.warning("nothing could be read, it will be tried again", why=str(error))
            await self._clock.sleep(self._pace.retry_s)
            return Poll()

    def _admitted(self) -> frozenset[Lane]:
        """Lanes to fetch from: bulk waits while live speech does."""
        live, bulk = (self._planner.waiting_s(lane) for lane in (Lane.LIVE, Lane.BULK))
        waiting = {Lane.LIVE: live, Lane.BULK: live + bulk}
        return frozenset(lane for lane in Lane if self._admissions[lane].update(waiting[lane]))

    def _release(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self._tasks.pop(partition, None)
        self._planner.keep({task.partition: task.epoch for task in self._tasks.values()})

    def _adopt(self, assigned: Sequence[Assignment]) -> None:
        for partition, epoch, lane, offset in assigned:
            policy = self._policies[lane]
            self._tasks[partition] = PartitionTask(partition, epoch, offset, policy)

    def _read(self, records: Sequence[Record]) -> None:
        now = self._clock.monotonic()
        for record in records:
            task = self._tasks.get(record.partition)
            if task is not None:  # else it was lost at a commit, and Kafka will say so
                self._metrics.count("records", outcome=task.ingest(record, now))

    def _tick(self, caught_up: frozenset[Partition]) -> None:
        now = self._clock.monotonic()
        for partition, task in self._tasks.items():
            task.tick(now, caught_up=partition in caught_up)

    async def _listen(self) -> None:
        """Score what came, all streams in one call, until every cut is known."""
        while requests := [r for task in self._tasks.values() for r in task.listen()]:
            scores = await self._engine.score(requests)
            for request, probabilities in zip(requests, scores, strict=True):
                task = self._tasks.get(request.session.partition)
                if task is not None:  # else it was lost meanwhile
                    task.hear(request, probabilities)

    def _plan(self) -> None:
        now = self._clock.monotonic()
        jobs = [job for task in self._tasks.values() for job in task.jobs(now)]
        self._planner.add(jobs)
        if jobs:
            self._work.ring()
        if any(task.ledger.has_output for task in self._tasks.values()):
            self._output.ring()
        self._metrics.held(self._tasks.values(), self._planner)

    # --- dispatch

    async def _dispatch(self) -> None:
        while (batch := self._next_batch()) is not None or await self._idle():
            if batch is not None:
                await self._transcribe(batch)
        self._output.close()

    async def _idle(self) -> bool:
        """Watch over the fold while nothing waits for the model, else sleep; False: it is over."""
        check = None if self._work.is_closed else self._shadow.take()
        if check is None:
            return await self._work.wait()
        (unfolded,) = await self._engine.transcribe(Batch((check.job,), padded=True))
        self._metrics.observe("fold_disagreement", disagreement(check.folded_text, unfolded.text))
        return True

    def _next_batch(self) -> Batch | None:
        return self._planner.take(self._clock.monotonic())

    async def _transcribe(self, batch: Batch) -> None:
        began = self._clock.monotonic()
        hypotheses = await self._engine.transcribe(batch)
        decode_s = self._clock.monotonic() - began
        self._metrics.batch(batch, decode_s)
        for job, hypothesis in zip(batch.jobs, hypotheses, strict=True):
            self._finish(job, hypothesis, began, decode_s)
        self._output.ring()

    def _finish(self, job: Job, hypothesis: Hypothesis, began: float, decode_s: float) -> None:
        self._shadow.offer(job, hypothesis)
        task = self._tasks.get(job.id.session.partition)
        if task is None or task.epoch != job.epoch:
            return  # another worker has it now
        queue_ms = round((began - job.closed_at) * 1000)
        decoded = Decoded(hypothesis, queue_ms, round(decode_s * 1000), self._clock.unix_ms())
        self._metrics.final(task.finish(job.id, decoded))

    # --- publish

    async def _publish(self) -> None:
        told = self._clock.monotonic()
        while await self._output.wait(self._pace.progress_s):
            await self._clock.sleep(self._pace.coalesce_s)
            due = self._clock.monotonic() - told >= self._pace.progress_s
            await self._commit(progress=due)
            told = self._clock.monotonic() if due else told
        await self._commit(progress=True)

    async def _commit(self, *, progress: bool) -> None:
        """All output; with `progress`, also of partitions that have only moved on."""
        tasks = [task for task in self._tasks.values() if progress or task.ledger.has_output]
        commits = [commit for task in tasks if (commit := task.ledger.prepare()) is not None]
        began = self._clock.monotonic()
        while commits:
            try:
                stand = await self._sink.commit(commits)
            except Retriable as error:
                log.warning("commit will be tried again", why=str(error), commits=len(commits))
                await self._clock.sleep(self._pace.retry_s)
                commits = [commit for commit in commits if self._owner(commit) is not None]
            else:
                self._post(commits, stand)
                self._metrics.commit(len(stand), len(commits), self._clock.monotonic() - began)
                return

    def _post(self, commits: list[Commit], stand: list[Commit]) -> None:
        for commit in stand:
            if (task := self._owner(commit)) is not None:
                task.ledger.post(commit)
        lost = [c for c in commits if c not in stand and self._owner(c) is not None]
        self._release(commit.partition for commit in lost)

    def _owner(self, commit: Commit) -> PartitionTask | None:
        """The task that prepared it; None: it was lost meanwhile."""
        task = self._tasks.get(commit.partition)
        return task if task is not None and task.epoch == commit.epoch else None


class _Bell:
    """Wakes one loop; several rings before it wakes are one. Closed: rung for the last time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def ring(self) -> None:
        self._event.set()

    def close(self) -> None:
        self._closed = True
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> bool:
        """True: rung, or the time is over. False: closed, nothing will ring again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        self._event.clear()
        return not self._closed
