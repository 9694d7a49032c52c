"""The engine in this process: the planner, and the model behind it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Final

from consumer.core.partition.step import Decode
from consumer.core.scheduling.fold_audit import FoldAudit, disagreement
from consumer.core.scheduling.jobs import Batch, Job, JobFailure, JobKind
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Lane, Partition, UtteranceId
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis
from consumer.interfaces import BatchTranscriber, Clock, EngineReport
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup

_ROOM_S: Final = 0.1  # between two looks for room, while only decodes that could be spared wait


class LocalEngine:
    """`consumer.interfaces.Engine` over a model.

    `next_report` does the work: it takes a batch, reports its finals as started, and decodes it in
    the next call. Without a job that waits, it audits the fold.
    """

    def __init__(
        self,
        model: BatchTranscriber,
        planner: Planner,
        clock: Clock,
        metrics: Metrics,
        fold_audit: FoldAudit,
    ) -> None:
        self._model = model
        self._planner = planner
        self._clock = clock
        self._metrics = metrics
        self._fold_audit = fold_audit
        self._wakeup = Wakeup()
        self._is_stopped = False
        self._batch: Batch | None = None  # reported as started, not decoded yet

    def submit(self, jobs: Sequence[Job]) -> None:
        self._planner.add(jobs)
        self._wakeup.notify()

    def discard(self, jobs: Container[Job]) -> list[Job]:
        """Cancel the waiting ones of these jobs, and return them."""
        return self._planner.discard(jobs.__contains__)

    def cancel(self, id_: UtteranceId) -> None:
        self._planner.cancel(id_)

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        self._planner.discard_stale(epochs)

    def drain(self) -> None:
        self._wakeup.close()

    def waiting_jobs(self) -> int:
        return len(self._planner)

    def waiting_s(self, lane: Lane) -> float:
        return self._planner.waiting_s(lane)

    async def next_report(self) -> EngineReport | None:
        if self._batch is not None:
            batch, self._batch = self._batch, None
            return await self._decode(batch)
        while (report := self._take()) is None:
            if not await self._audit_or_wait():
                return None
        return report

    def stop(self) -> None:
        """End once the batch under way is decoded; jobs that wait are not decoded."""
        self._is_stopped = True
        self._wakeup.close()

    def _take(self) -> EngineReport | None:
        """Take the next batch; None: no job waits, and none was dropped."""
        if self._is_stopped:
            return None
        self._batch = self._planner.take(self._clock.monotonic())
        jobs = () if self._batch is None else self._batch.jobs
        dropped = self._planner.dropped_interims()
        if not (jobs or dropped):
            return None
        return EngineReport(started=jobs, dropped=dropped)

    async def _audit_or_wait(self) -> bool:
        """Audit the fold, or wait for a job or for room; return False once drained."""
        audit = None
        if not self._wakeup.is_closed and self._planner.may_audit(self._clock.monotonic()):
            audit = self._fold_audit.take()
        if audit is None:
            return await self._wakeup.wait(_ROOM_S if len(self._planner) else None)
        (unfolded,) = await self._model.transcribe(Batch((audit.job,), padded=True))
        if isinstance(unfolded, Hypothesis):
            difference = disagreement(audit.folded_text, unfolded.text)
            self._metrics.observe("fold_disagreement", difference)
        return True

    async def _decode(self, batch: Batch) -> EngineReport:
        began = self._clock.monotonic()
        replies = await self._model.transcribe(batch)
        decode_s = (ended := self._clock.monotonic()) - began
        self._planner.decoded(batch, decode_s, ended)
        self._metrics.observe_batch(batch, decode_s)
        return EngineReport(
            decodes=[
                Decode(job, self._timed(job, reply, began, decode_s))
                for job, reply in zip(batch.jobs, replies, strict=True)
            ]
        )

    def _timed(
        self, job: Job, reply: Hypothesis | JobFailure, began: float, decode_s: float
    ) -> TimedHypothesis | JobFailure:
        if isinstance(reply, JobFailure):
            self._metrics.count("decode_failures")
            return reply
        if job.kind is JobKind.FINAL and not (job.is_excerpt or reply.earlier):
            self._fold_audit.offer(job, reply)
        if reply.earlier and not self._may_repeat(job, reply):
            self._metrics.count("retries_spared")
            reply = replace(reply, earlier=())  # its best text is settled
        queue_ms = round((began - job.closed_at) * 1000)
        return TimedHypothesis(reply, queue_ms, round(decode_s * 1000), self._clock.unix_ms())

    def _may_repeat(self, job: Job, reply: Hypothesis) -> bool:
        """Return whether a text that is not accepted may be decoded again."""
        if job.kind is JobKind.INTERIM or job.is_excerpt:
            return True  # it is not decoded again: its text is not used
        return self._planner.may_repeat(job, len(reply.earlier), self._clock.monotonic())
