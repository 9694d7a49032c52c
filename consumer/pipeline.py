"""The pipeline of one worker: ingest | collect | broadcast, over the Protocols of `interfaces.py`.

    Kafka --poll--> ingest:    records -> audio -> speech scores -> utterances -> engine
                    collect:   engine -> texts
                    runners:   events and progress, in one transaction --> Kafka
                    broadcast: partials --> Kafka, outside transactions

`PartitionTask.step` (`consumer.core`) decides what to do; this file executes the effects and passes
the results to the next step. Each assigned partition has a runner (`partition_runner.py`), which
opens it, commits, and opens it again after a failure.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import structlog

from consumer.broadcast_queue import BroadcastQueue
from consumer.core.audio.utterance import Float32Array
from consumer.core.partition.commit import Outcome
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import Restored
from consumer.core.partition.step import (
    ContainedError,
    Decode,
    Effects,
    IncomingRecord,
    Inputs,
)
from consumer.core.scheduling.capacity import Backpressure
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, UnreadableBatch
from consumer.errors import Fenced, Retriable, where_raised
from consumer.interfaces import EngineReport, Shells, Timeouts
from consumer.metrics import Metrics
from consumer.partition_runner import PartitionRunner, RunnerContext
from consumer.wakeup import Wakeup
from consumer.watchdog import Watchdog
from schemas.errors import Reason

log = structlog.get_logger(__name__)

MAX_READ_S: Final = 600.0  # of audio that is read before it is scored
_SKIPPED_ACTIONS: Final = {
    Reason.BATCH_TOO_LARGE: "run streamscribe topics check: correct topics reject such a batch",
    Reason.CORRUPT_BATCH: "check the disks of the partition's brokers, and streamscribe dlq ls",
}


class Pipeline:
    """One worker. `run` returns after a clean stop, and raises otherwise."""

    def __init__(
        self,
        shells: Shells,
        policies: Mapping[Lane, PartitionPolicy],
        backpressure: Mapping[Lane, Backpressure],
        *,
        timeouts: Timeouts,
        metrics: Metrics,
        make_ledger: Callable[[Partition, int, Restored], Ledger] = Ledger,
    ) -> None:
        self._shells = shells
        self._clock = shells.clock
        self._policies = policies
        self._engine = shells.engine
        self._backpressure = backpressure
        self._timeouts = timeouts
        self._metrics = metrics
        self._make_ledger = make_ledger
        self._context: RunnerContext  # set by `run`
        self._runners: dict[Partition, PartitionRunner] = {}
        self._lanes = frozenset(Lane)  # those that are read, and not paused by back-pressure
        self._to_score: list[tuple[PartitionTask, ScoreRequest]] = []
        self._scoring = asyncio.Lock()  # one at a time: a stream has one score request
        self._decoded_wakeup = Wakeup()  # a container was decoded
        self._broadcast = BroadcastQueue(shells.broadcast, metrics)
        self._watchdog = Watchdog(self, shells.engine, shells.clock, metrics)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop`, then drain. Raises `TimeoutError` after `drain_s`."""
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            self._context = self._runner_context(group)
            group.create_task(self._ingest(stop, group), name="ingest")
            group.create_task(self._ingest_decoded(), name="ingest decoded")
            group.create_task(self._collect(), name="collect")
            group.create_task(self._broadcast.run(), name="broadcast")
            group.create_task(self._watchdog.run(), name="watchdog")
            offsets = group.create_task(self._commit_offsets(), name="offsets")
            await stop.wait()
            offsets.cancel()
            limit.reschedule(asyncio.get_running_loop().time() + self._timeouts.drain_s)

    @property
    def tasks(self) -> list[PartitionTask]:
        """Tasks of the partitions that are served."""
        return [runner.task for runner in self._runners.values() if runner.task is not None]

    @property
    def halted(self) -> int:
        """Number of partitions that wait for an operator."""
        return sum(runner.is_halted for runner in self._runners.values())

    def _runner_context(self, group: asyncio.TaskGroup) -> RunnerContext:
        return RunnerContext(
            shells=self._shells,
            timeouts=self._timeouts,
            metrics=self._metrics,
            next_epoch=count(1).__next__,
            make_ledger=self._make_ledger,
            spawn=group.create_task,
            execute=self._execute,
            on_decoded=self._decoded_wakeup.notify,
            discard_jobs=self._discard_stale,
        )

    # --- ingest

    async def _ingest(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        while not stop.is_set():
            poll = await self._poll()
            if poll.assigned is not None:
                self._assign(poll.assigned, group)
            for partition in poll.out_of_range:
                self._runners[partition].offset_out_of_range()
            for partition, records in poll.by_partition().items():
                if (runner := self._runners.get(partition)) is not None:
                    runner.offer(records)
            await self._read_and_score(poll.caught_up)
        self._decoded_wakeup.close()
        self._engine.drain()

    async def _ingest_decoded(self) -> None:
        """Read containers as they are decoded, without waiting for the next poll."""
        while await self._decoded_wakeup.wait():
            await self._read_and_score()

    async def _poll(self) -> Poll:
        self._lanes = self._served_lanes()
        try:
            poll = await self._shells.source.poll(self._lanes)
        except Retriable as error:
            log.warning("poll failed, retrying", error=str(error))
            await self._clock.sleep(self._timeouts.retry_s)
            poll = Poll()
        self._watchdog.polled()
        return poll

    def _served_lanes(self) -> frozenset[Lane]:
        """Return the lanes to read; waiting live speech counts for bulk, too."""
        live, bulk = (self._engine.waiting_s(lane) for lane in (Lane.LIVE, Lane.BULK))
        waiting = {Lane.LIVE: live, Lane.BULK: live + bulk}
        return frozenset(lane for lane in Lane if self._backpressure[lane].update(waiting[lane]))

    def _assign(self, assigned: Sequence[Assignment], group: asyncio.TaskGroup) -> None:
        """Revoke and start runners; those that stay have to prove their ownership by a commit."""
        lanes = dict(assigned)
        for partition in self._runners.keys() - lanes.keys():
            self._runners.pop(partition).revoke()
        for partition, lane in lanes.items():
            if (runner := self._runners.get(partition)) is not None:
                runner.reassigned()
                continue
            runner = PartitionRunner(partition, self._policies[lane], self._context)
            self._runners[partition] = runner
            group.create_task(runner.run(), name=f"run {partition.topic} {partition.number}")

    async def _read_and_score(self, caught_up: frozenset[Partition] | None = None) -> None:
        """Read fetched records, and score all streams together until no score request is left.

        `caught_up`: partitions without a waiting record in Kafka; None: not after a poll.
        """
        async with self._scoring:
            left_s = MAX_READ_S
            for runner in list(self._runners.values()):
                left_s -= self._read(runner, left_s)
                self._tick(runner, caught_up)
            await self._score()

    def _read(self, runner: PartitionRunner, most_s: float) -> float:
        """Read decoded records of about `most_s` seconds of audio; return the seconds."""
        task, read_s = runner.task, 0.0
        if task is None or runner.policy.lane not in self._lanes:
            return 0.0
        begin_s = task.read_s
        while read_s < most_s and (records := runner.take()):
            effects = self._step(runner, records=records)
            if effects is None:
                break
            self._count_outcomes(records, effects)
            read_s = task.read_s - begin_s
        return read_s

    def _tick(self, runner: PartitionRunner, caught_up: frozenset[Partition] | None) -> None:
        if runner.task is not None and caught_up is not None:
            is_caught_up = runner.partition in caught_up and runner.is_caught_up
            self._step(runner, caught_up=is_caught_up)

    async def _score(self) -> None:
        while self._to_score:
            requested, self._to_score = self._to_score, []
            scores = await self._shells.detector.score([request for _, request in requested])
            by_task: dict[PartitionTask, list[tuple[ScoreRequest, Float32Array | None]]]
            by_task = defaultdict(list)
            for (task, request), probabilities in zip(requested, scores, strict=True):
                by_task[task].append((request, probabilities))
                if probabilities is None and not request.vad.has_failed:
                    self._metrics.count("contained_errors", stage="detection")
            for runner in list(self._runners.values()):
                if runner.task is not None and (scored := by_task.get(runner.task)):
                    self._step(runner, scores=scored)

    def _step(self, runner: PartitionRunner, **inputs: Any) -> Effects | None:
        """Run one step of a partition and execute its effects; None: it is not served any more."""
        clock = self._clock
        effects = runner.step(Inputs(clock.monotonic(), clock.unix_ms(), **inputs))
        if effects is not None:
            self._execute(runner, effects)
        return effects

    def _execute(self, runner: PartitionRunner, effects: Effects) -> None:
        """Execute the effects of a step; score requests are collected for `_score`."""
        task = runner.task
        if task is not None:
            self._to_score += ((task, request) for request in effects.score_requests)
        for id_ in effects.cancel:
            self._engine.cancel(id_)
        if effects.submit:
            self._engine.submit(effects.submit)
        if retries := sum(bool(job.earlier) for job in effects.submit):
            self._metrics.count("retries", retries)
        for final in effects.finals:
            self._metrics.observe_final(final)
        for error in effects.contained:
            self._report(error)
        self._broadcast.put(effects.broadcast)
        if effects.commit_due:
            runner.notify()

    def _report(self, contained: ContainedError) -> None:
        self._metrics.count("contained_errors", stage=contained.stage)
        log.error(
            "text failed",
            stream=contained.id.session.stream_id,
            utterance=contained.id.utterance,
            stage=contained.stage,
            error=type(contained.error).__name__,
            traceback=where_raised(contained.error),
            action="report the traceback; a final without text is a dead letter with its audio",
        )

    def _count_outcomes(self, records: Sequence[IncomingRecord], effects: Effects) -> None:
        counts: Counter[Outcome] = Counter()
        for record, outcome in zip(records, effects.outcomes, strict=True):
            if outcome is None:
                continue
            counts[outcome] += 1
            if isinstance(record, UnreadableBatch):
                counts[outcome] += record.last_offset - record.offset
                self._log_skipped(record)
        for outcome, number in counts.items():
            self._metrics.count("records", number, outcome=outcome)

    def _log_skipped(self, batch: UnreadableBatch) -> None:
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

    def _discard_stale(self) -> None:
        self._engine.discard_stale({task.partition: task.epoch for task in self.tasks})

    # --- replies of the engine

    async def _collect(self) -> None:
        while (report := await self._engine.next_report()) is not None:
            self._on_report(report)
        self._watchdog.close()
        self._broadcast.close()
        for runner in self._runners.values():
            runner.drain()

    def _on_report(self, report: EngineReport) -> None:
        """Pass a report to the partitions; those that submitted a job may be gone by now."""
        self._metrics.count("partials_dropped", len(report.dropped))
        finals = [job for job in report.started if job.kind is JobKind.FINAL]
        started: dict[Partition, list[Job]] = defaultdict(list)
        for job in finals:
            started[job.id.session.partition].append(job)
        decodes: dict[Partition, list[Decode]] = defaultdict(list)
        for decode in report.decodes:
            decodes[decode.job.id.session.partition].append(decode)
        for partition in started.keys() | decodes.keys():
            runner = self._runners.get(partition)
            if runner is None or runner.task is None:
                continue  # the partition was revoked or is being opened again
            epoch = runner.task.epoch
            self._step(
                runner,
                started=[job.id for job in started[partition] if job.epoch == epoch],
                decodes=[each for each in decodes[partition] if each.job.epoch == epoch],
            )

    # --- the group's offsets

    async def _commit_offsets(self) -> None:
        """Commit the group's offsets, for dashboards only: a drain does not wait for it."""
        while True:
            await asyncio.sleep(self._timeouts.progress_s)
            resume = {task.partition: task.ledger.committed.resume_offset for task in self.tasks}
            try:
                await self._shells.source.commit_offsets(resume)
            except (Retriable, Fenced) as error:
                log.debug("group offsets not committed", error=str(error))
