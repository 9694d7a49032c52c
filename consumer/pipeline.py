"""The whole motion on one page: ingest | dispatch | keep.

    Kafka --poll--> ingest: records -> chunks -> speech scores -> utterances -> planner
                    dispatch: planner -> batch -> Whisper -> texts
                    keepers: texts -> events and progress, in one transaction --> Kafka

What to do is decided in `consumer.core`; this file only moves values between the decisions and the
shells of `consumer.interfaces`. Each assigned partition has a runner (`partition_runner.py`), which
opens it, commits what is ready, and opens it again after a failure.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final

import structlog

from consumer.core.partition.commit import Outcome
from consumer.core.partition.partition import PartitionPolicy, PartitionTask
from consumer.core.scheduling.capacity import Backpressure
from consumer.core.scheduling.fold_audit import FoldAudit, disagreement
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, Record, UnreadableBatch
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.errors import ConfigError, Fenced, Retriable, SttError
from consumer.interfaces import Shells, Timeouts
from consumer.metrics import Metrics
from consumer.partition_runner import PartitionRunner, RunnerContext, Wakeup
from schemas.errors import Reason
from schemas.transcript import AnyEvent, TranscriptFinal

log = structlog.get_logger(__name__)


HEARTBEAT_S = 1.0  # between two looks at the worker's own health


BLOCKED_S = 1.0  # the event loop was held up that long: worth an alarm


MAX_POLL_S = 600.0  # of audio: what else a poll brought is read again later


MAX_PENDING_BROADCAST = 1000  # events that wait to be broadcast; older ones are dropped


_SKIPPED_ACTIONS: Final = {
    Reason.BATCH_TOO_LARGE: "streamscribe topics check: as they must be, the brokers refuse it",
    Reason.CORRUPT_BATCH: "check the disks of the partition's brokers; streamscribe dlq ls",
}


STUCK_S = 60.0  # no answer to a poll, not even a failure: only a new process helps


class Pipeline:
    """One worker's life; `run` returns after a clean stop and raises otherwise."""

    def __init__(
        self,
        shells: Shells,
        policies: Mapping[Lane, PartitionPolicy],
        planner: Planner,
        admissions: Mapping[Lane, Backpressure],
        *,
        fold_audit: FoldAudit,
        timeouts: Timeouts,
        metrics: Metrics,
    ) -> None:
        self._source, self._detector = shells.source, shells.detector
        self._engine, self._broadcast = shells.engine, shells.broadcast
        self._clock = clock = shells.clock
        self._policies = policies
        self._planner = planner
        self._backpressure = admissions
        self._fold_audit = fold_audit
        self._timeouts = timeouts
        self._metrics = metrics
        self._runners: dict[Partition, PartitionRunner] = {}
        self._jobs_wakeup = Wakeup()  # rung when a job waits
        self._broadcast_wakeup = Wakeup()  # rung when there is something to broadcast
        self._pending_broadcast: deque[AnyEvent] = deque(maxlen=MAX_PENDING_BROADCAST)
        self._heartbeat = Wakeup()
        self._polled_at = clock.monotonic()
        self._context = RunnerContext(
            store=shells.store,
            source=self._source,
            clock=clock,
            timeouts=timeouts,
            metrics=metrics,
            next_epoch=count(1).__next__,
            add_jobs=self._add,
            discard_jobs=self._discard_stale,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Raises `TimeoutError` when what was in flight is not out within `drain_s` of `stop`."""
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            group.create_task(self._ingest(stop, group), name="ingest")
            group.create_task(self._dispatch(), name="dispatch")
            group.create_task(self._broadcast_events(), name="partials")
            group.create_task(self._watch(), name="watch")
            offsets = group.create_task(self._commit_offsets(), name="offsets")
            await stop.wait()
            offsets.cancel()
            limit.reschedule(asyncio.get_running_loop().time() + self._timeouts.drain_s)

    @property
    def _tasks(self) -> list[PartitionTask]:
        """Of the partitions that are served."""
        return [keeper.task for keeper in self._runners.values() if keeper.task is not None]

    def _task(self, partition: Partition) -> PartitionTask | None:
        keeper = self._runners.get(partition)
        return None if keeper is None else keeper.task

    # --- ingest

    async def _ingest(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            poll = await self._poll()
            if poll.assigned is not None:
                self._assign(poll.assigned, group)
            for partition in poll.out_of_range:
                self._runners[partition].offset_out_of_range()
            self._read(poll.records)
            self._tick(poll.caught_up)
            await self._score()
            self._submit()
        self._jobs_wakeup.close()

    async def _poll(self) -> Poll:
        try:
            poll = await self._source.poll(self._admitted())
        except Retriable as error:
            log.warning("poll failed, retrying", error=str(error))
            await self._clock.sleep(self._timeouts.retry_s)
            poll = Poll()
        self._polled_at = self._clock.monotonic()
        return poll

    def _admitted(self) -> frozenset[Lane]:
        """Lanes to fetch from: bulk waits while live speech does."""
        live, bulk = (self._planner.waiting_s(lane) for lane in (Lane.LIVE, Lane.BULK))
        waiting = {Lane.LIVE: live, Lane.BULK: live + bulk}
        return frozenset(lane for lane in Lane if self._backpressure[lane].update(waiting[lane]))

    def _assign(self, assigned: Sequence[Assignment], group: asyncio.TaskGroup) -> None:
        """Keep what stays ours as it is, warm: its next commit proves that it still is."""
        ours = dict(assigned)
        for partition in self._runners.keys() - ours.keys():
            self._runners.pop(partition).revoke()
        for partition, lane in ours.items():
            if (keeper := self._runners.get(partition)) is not None:
                keeper.reassigned()
                continue
            keeper = PartitionRunner(partition, self._policies[lane], self._context)
            self._runners[partition] = keeper
            group.create_task(keeper.run(), name=f"keep {partition.topic} {partition.number}")

    def _read(self, records: Sequence[Record | UnreadableBatch]) -> None:
        """All of them, or as many as memory is meant to hold: compressed ones may be hours."""
        now, left_s = self._clock.monotonic(), MAX_POLL_S
        for index, record in enumerate(records):
            if left_s <= 0:
                self._seek_back(records[index:])
                return
            if (task := self._task(record.partition)) is not None:
                before_s = task.read_s
                self._count_outcome(record, task.ingest(record, now))
                left_s -= task.read_s - before_s

    def _count_outcome(self, record: Record | UnreadableBatch, outcome: Outcome | None) -> None:
        if outcome is not None:
            count = record.next_offset - record.offset
            self._metrics.count("records", count, outcome=outcome)
            if isinstance(record, UnreadableBatch):
                self._warn_of_skipped(record)

    def _seek_back(self, records: Sequence[Record | UnreadableBatch]) -> None:
        first = {record.partition: record.offset for record in reversed(records)}
        for partition, offset in first.items():
            if self._task(partition) is not None:
                self._source.seek(partition, offset)

    def _warn_of_skipped(self, batch: UnreadableBatch) -> None:
        self._metrics.count("batches_skipped", reason=batch.reason)
        log.warning(
            "batch skipped",
            topic=batch.partition.topic,
            partition=batch.partition.number,
            first_offset=batch.offset,
            last_offset=batch.last_offset,
            reason=batch.reason,
            error=batch.message,
            action=_SKIPPED_ACTIONS[batch.reason],
        )

    def _tick(self, caught_up: frozenset[Partition]) -> None:
        now = self._clock.monotonic()
        for task in self._tasks:
            task.tick(now, caught_up=task.partition in caught_up)

    async def _score(self) -> None:
        """Score what came, all streams in one call, until every cut is known."""
        while asked := [
            (task, request) for task in self._tasks for request in task.score_requests()
        ]:
            scores = await self._detector.score([request for _, request in asked])
            for (task, request), probabilities in zip(asked, scores, strict=True):
                task.on_scores(request, probabilities)

    def _submit(self) -> None:
        now, now_ms = self._clock.monotonic(), self._clock.unix_ms()
        for keeper in self._runners.values():
            if keeper.task is None:
                continue
            jobs, finals = keeper.task.jobs(now, now_ms)
            drafts, begun = keeper.task.interim_jobs(now)
            self._add([*jobs, *drafts])
            self._queue_broadcast(begun)
            self._publish_finals(keeper, finals)

    def _publish_finals(self, keeper: PartitionRunner, finals: Sequence[TranscriptFinal]) -> None:
        for final in finals:
            self._metrics.observe_final(final)
        if keeper.task is not None and keeper.task.ledger.has_output:
            keeper.notify()

    def _add(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._planner.add(jobs)
            self._jobs_wakeup.notify()

    def _discard_stale(self) -> None:
        self._planner.discard_stale({task.partition: task.epoch for task in self._tasks})

    # --- dispatch

    async def _dispatch(self) -> None:
        while (batch := self._next_batch()) is not None or await self._idle():
            if batch is not None:
                await self._transcribe(batch)
        self._heartbeat.close()
        self._broadcast_wakeup.close()
        for keeper in self._runners.values():
            keeper.drain()

    async def _idle(self) -> bool:
        """Watch over the fold while nothing waits for the model, else sleep; False: it is over."""
        check = None if self._jobs_wakeup.is_closed else self._fold_audit.take()
        if check is None:
            return await self._jobs_wakeup.wait()
        (unfolded,) = await self._engine.transcribe(Batch((check.job,), padded=True))
        self._metrics.observe("fold_disagreement", disagreement(check.folded_text, unfolded.text))
        return True

    def _next_batch(self) -> Batch | None:
        return self._planner.take(self._clock.monotonic())

    async def _transcribe(self, batch: Batch) -> None:
        began = self._clock.monotonic()
        hypotheses = await self._engine.transcribe(batch)
        decode_s = self._clock.monotonic() - began
        self._metrics.observe_batch(batch, decode_s)
        for job, hypothesis in zip(batch.jobs, hypotheses, strict=True):
            self._on_decoded(job, hypothesis, began, decode_s)

    def _on_decoded(self, job: Job, hypothesis: Hypothesis, began: float, decode_s: float) -> None:
        partition = job.id.session.partition
        task = self._task(partition)
        if task is None or task.epoch != job.epoch:
            return  # another worker has it now, or it is opened anew
        queue_ms = round((began - job.closed_at) * 1000)
        decoded = TimedHypothesis(
            hypothesis, queue_ms, round(decode_s * 1000), self._clock.unix_ms()
        )
        wanted = job if job.kind is JobKind.FINAL else self._on_interim(task, job, decoded)
        if wanted is None:
            return
        now = self._clock.monotonic()
        if hypothesis.earlier:
            self._metrics.count("retries")
            self._planner.retry(wanted, hypothesis.earlier, now)
            return
        self._fold_audit.offer(wanted, hypothesis)
        jobs, finals = task.on_decoded(wanted.id, decoded, now)
        self._add(jobs)
        self._publish_finals(self._runners[partition], finals)

    def _on_interim(self, task: PartitionTask, job: Job, decoded: TimedHypothesis) -> Job | None:
        """The final that the draft's text is of too, if the utterance has ended meanwhile."""
        partial, is_final = task.on_interim(job, decoded)
        if partial is not None:
            self._queue_broadcast([partial])
        return self._planner.cancel(job.id) if is_final else None

    # --- partials

    def _queue_broadcast(self, events: Sequence[AnyEvent]) -> None:
        if events:
            self._pending_broadcast.extend(events)
            self._broadcast_wakeup.notify()

    async def _broadcast_events(self) -> None:
        while await self._broadcast_wakeup.wait():
            events = list(self._pending_broadcast)
            self._pending_broadcast.clear()
            try:
                await self._broadcast.publish(events)
            except (Retriable, ConfigError) as error:
                log.warning("partials dropped", count=len(events), error=str(error))
            else:
                self._metrics.count("partials", len(events))

    # --- watch

    async def _watch(self) -> None:
        """See whether the worker itself is well."""
        beat = self._clock.monotonic()
        self._update_gauges(beat)
        while await self._heartbeat.wait(HEARTBEAT_S):
            now = self._clock.monotonic()
            self._check(now, blocked_s=now - beat - HEARTBEAT_S)
            beat = now

    def _check(self, now: float, *, blocked_s: float) -> None:
        """Raises `SttError` when only a new process helps."""
        self._update_gauges(now)
        self._metrics.set("loop_lag_seconds", max(0.0, blocked_s))
        self._metrics.set("halted", sum(keeper.is_halted for keeper in self._runners.values()))
        if blocked_s > BLOCKED_S:
            log.error("event loop blocked", seconds=round(blocked_s, 1))
        if now - self._polled_at > STUCK_S:
            raise SttError(f"Kafka's consumer has not answered for {STUCK_S:.0f} s")

    def _update_gauges(self, now: float) -> None:
        self._metrics.update_gauges(self._tasks, self._planner, now, self._clock.unix_ms())

    async def _commit_offsets(self) -> None:
        """For those who look at the group: nothing depends on it, and no drain waits for it."""
        while True:
            await asyncio.sleep(self._timeouts.progress_s)
            resume = {task.partition: task.ledger.committed.resume_offset for task in self._tasks}
            try:
                await self._source.commit_offsets(resume)
            except (Retriable, Fenced) as error:
                log.debug("group offsets not committed", error=str(error))
