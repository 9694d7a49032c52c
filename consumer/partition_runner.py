"""One assigned partition, kept from its assignment until it is given away.

    open (fence the one before, read its state) -> prove -> [ commit ]* -> closed
      ^                                                        |
      '------------- anything failed: all in memory is void ---'

A commit whose outcome is not known is never tried again: a new transaction fences what is left of
it, and the state that is read then says what became of it (KIP-98, docs/guarantees.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from consumer.core.partition.commit import Commit
from consumer.core.partition.partition import PartitionPolicy, PartitionTask
from consumer.core.partition.state import Found, Halt, PartitionState, recover
from consumer.core.partition.stream_admission import REJECTION_REASONS as TURNED_AWAY
from consumer.core.scheduling.jobs import Job
from consumer.core.streams.records import Partition
from consumer.errors import ConfigError, Fenced, Retriable
from consumer.interfaces import Clock, Journal, RecordSource, Store, Timeouts
from consumer.metrics import Metrics

log = structlog.get_logger(__name__)


REJECTIONS_WARNING_S = 60.0  # between two lines about streams that are turned away


@dataclass(frozen=True, slots=True)
class RunnerContext:
    """What every keeper works with."""

    store: Store
    source: RecordSource
    clock: Clock
    timeouts: Timeouts
    metrics: Metrics
    next_epoch: Callable[[], int]
    add_jobs: Callable[[Sequence[Job]], None]  # jobs that wait for the model
    discard_jobs: Callable[[], None]  # a task is gone, and its jobs with it


class Wakeup:
    """Wakes one loop; several rings before it wakes are one. Closed: rung for the last time."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        return self._closed

    def notify(self) -> None:
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


class PartitionRunner:
    """`task` is there while the partition is served."""

    def __init__(
        self, partition: Partition, policy: PartitionPolicy, around: RunnerContext
    ) -> None:
        self.partition = partition
        self.task: PartitionTask | None = None
        self.is_halted = False
        self._policy = policy
        self._context = around
        self._wakeup = Wakeup()
        self._is_revoked = False
        self._is_out_of_range = False
        self._rejections_warned_at = -REJECTIONS_WARNING_S  # monotonic
        self._written: tuple[PartitionState, ...] = ()  # what the newest commit left, or did not
        self._unproven = False  # assigned anew: whether it is still ours a commit has to tell

    async def run(self) -> None:
        """Until it is given away, or drained."""
        while not self._wakeup.is_closed:
            try:
                await self._serve_once()
            except Fenced as error:
                self._log_failure("partition fenced by another worker", error)
                await self._pause(self._context.timeouts.retry_s)
            except Retriable as error:
                self._log_failure("partition failed, reopening", error)
                await self._pause(self._context.timeouts.retry_s)
            except Halt as error:
                self._halt(error, "streamscribe state show, then streamscribe state reset")
                await self._pause(self._context.timeouts.halt_s)
            except ConfigError as error:
                self._halt(error, "streamscribe topics check, and streamscribe acls worker")
                await self._pause(self._context.timeouts.halt_s)

    def notify(self) -> None:
        """The task has output."""
        self._wakeup.notify()

    def reassigned(self) -> None:
        """After a rebalance, which made the consumer forget where it was."""
        self._unproven = True
        self._wakeup.notify()

    def offset_out_of_range(self) -> None:
        """What was to be read next has been deleted."""
        self._is_out_of_range = True
        self._wakeup.notify()

    def revoke(self) -> None:
        """Another worker has it; nothing more is committed."""
        self._is_revoked = True
        self._drop()
        self._wakeup.close()

    def drain(self) -> None:
        """All output is there: commit it, and end."""
        self._wakeup.close()

    async def _serve_once(self) -> None:
        self._is_out_of_range = False
        journal = await self._context.store.open(self.partition)
        try:
            task = self._restore(journal.found)
            await self._commit(journal, task, force=True)
            self._serve(task)
            await self._commit_all(journal, task)
        finally:
            self._drop()
            await journal.close()

    def _restore(self, found: Found) -> PartitionTask:
        restored = recover(found, from_earliest=self._policy.from_earliest)
        if found.partition in self._written:  # nobody had it in between, and we have survived
            restored = replace(restored, partition=replace(restored.partition, clean=True))
        epoch = self._context.next_epoch()
        return PartitionTask(self.partition, epoch, self._policy, restored)

    def _serve(self, task: PartitionTask) -> None:
        if self._is_revoked:
            raise Fenced("it was given away while it was opened")
        self.is_halted = self._unproven = False
        self.task = task
        self._context.source.seek(self.partition, task.ledger.position)
        state = task.ledger.committed
        log.info(
            "partition opened",
            **self._log_keys(),
            next_offset=state.next_offset,
            resume_offset=state.resume_offset,
            streams=task.streams,
        )

    async def _commit_all(self, journal: Journal, task: PartitionTask) -> None:
        clock, timeouts = self._context.clock, self._context.timeouts
        told = clock.monotonic()
        while await self._wakeup.wait(timeouts.progress_s):
            if self._is_out_of_range:
                raise Retriable("audio was deleted before it was read: its offsets are lost")
            if task.ledger.has_output:
                await clock.sleep(timeouts.coalesce_s)
            due = self._unproven or clock.monotonic() - told >= timeouts.progress_s
            await self._commit(journal, task, progress=due, force=self._unproven)
            told = clock.monotonic() if due else told
            if self._unproven:
                self._serve(task)
        if not self._is_revoked:
            await self._commit(journal, task, clean=task.is_idle)

    async def _commit(
        self,
        journal: Journal,
        task: PartitionTask,
        *,
        progress: bool = True,
        clean: bool = False,
        force: bool = False,
    ) -> None:
        commit = task.ledger.prepare(progress=progress, clean=clean, force=force)
        if commit is None:
            return
        self._written = (task.ledger.committed, commit.state)
        began = self._context.clock.monotonic()
        try:
            await journal.commit(commit)
        except (Fenced, Retriable, ConfigError):
            self._context.metrics.count("commits", result="failed")
            raise
        now = self._context.clock.monotonic()
        self._context.metrics.observe_commit(commit, now - began)
        self._warn_of_rejections(commit, now)
        self._context.add_jobs(task.on_committed(commit, now))

    def _warn_of_rejections(self, commit: Commit, now: float) -> None:
        over = [letter for letter in commit.dead_letters if letter.reason in TURNED_AWAY]
        if over and now >= self._rejections_warned_at + REJECTIONS_WARNING_S:
            self._rejections_warned_at = now
            refused = commit.state.tally.refused
            log.warning(
                "new streams rejected", **self._log_keys(), error=over[-1].message, refused=refused
            )

    def _drop(self) -> None:
        if self.task is not None:
            self.task = None
            self._context.source.pause(self.partition)
            self._context.discard_jobs()

    async def _pause(self, seconds: float) -> None:
        if not self._wakeup.is_closed:
            await self._context.clock.sleep(seconds)

    def _log_failure(self, event: str, error: Exception) -> None:
        if not self._is_revoked:
            log.warning(event, **self._log_keys(), error=str(error))

    def _halt(self, error: Exception, action: str) -> None:
        if not self.is_halted:
            log.error("partition halted", **self._log_keys(), error=str(error), action=action)
        self.is_halted = True

    def _log_keys(self) -> dict[str, object]:
        return {"topic": self.partition.topic, "partition": self.partition.number}
