"""One assigned partition, from its assignment until it is revoked.

    open (fence the previous owner, read its state) -> first commit -> [ commit ]* -> closed
      ^                                                                   |
      '---------------- after any failure the task is dropped ------------'

A commit of unknown outcome is never repeated: opening the partition again fences its transaction,
and the state read then shows whether it was made (KIP-98, docs/guarantees.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from consumer.core.partition.commit import Commit
from consumer.core.partition.faults import Exclusions, StreamFault
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.partition import PartitionTask
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.partition.state import Found, Halt, PartitionState, Restored, recover
from consumer.core.partition.step import Effects, IncomingRecord, Inputs
from consumer.core.partition.stream_admission import REJECTION_REASONS
from consumer.core.streams.chunks import names
from consumer.core.streams.records import Partition, Record, UnreadableBatch
from consumer.decode_window import DecodeWindow, Spawn
from consumer.errors import ConfigError, Fenced, Retriable, where_raised
from consumer.interfaces import Journal, Shells, Timeouts
from consumer.metrics import Metrics
from consumer.wakeup import Wakeup

log = structlog.get_logger(__name__)

REJECTIONS_WARNING_S: Final = 60.0  # between two log lines about rejected streams


@dataclass(frozen=True, slots=True)
class RunnerContext:
    """The dependencies and callbacks of every runner."""

    shells: Shells
    timeouts: Timeouts
    metrics: Metrics
    next_epoch: Callable[[], int]
    make_ledger: Callable[[Partition, int, Restored], Ledger]
    spawn: Spawn  # starts a task of the pipeline's group
    execute: Callable[[PartitionRunner, Effects], None]
    on_decoded: Callable[[], None]  # called after each decode of a container
    discard_jobs: Callable[[], None]  # called when a task was dropped


class PartitionRunner:
    """Opens, serves and commits one partition; `task` is None while it is not served."""

    def __init__(
        self, partition: Partition, policy: PartitionPolicy, context: RunnerContext
    ) -> None:
        self.partition = partition
        self.task: PartitionTask | None = None
        self.is_halted = False
        self.policy = policy
        self._context = context
        self._wakeup = Wakeup()
        self._window = self._new_window()
        self._resume_at: int | None = None  # offset to fetch from once the window has room
        self._is_revoked = False
        self._is_out_of_range = False
        self._rejections_warned_at = -REJECTIONS_WARNING_S  # monotonic
        self._written: tuple[PartitionState, ...] = ()  # states around the newest commit
        self._is_unproven = False  # reassigned: a commit must prove the ownership
        self._exclusions = Exclusions()
        self._fault: StreamFault | None = None  # of the task, which was dropped

    async def run(self) -> None:
        """Serve the partition until it is revoked or drained."""
        while not self._wakeup.is_closed:
            try:
                await self._serve_once()
            except Fenced as error:
                self._log_failure("partition fenced by another worker", error)
                await self._pause(self._context.timeouts.retry_s)
            except Retriable as error:
                self._log_failure("partition failed, reopening", error)
                await self._pause(self._context.timeouts.retry_s)
            except StreamFault as fault:
                self._exclude(fault)
                await self._pause(self._context.timeouts.retry_s)
            except Halt as error:
                self._halt(error, "streamscribe state show, then streamscribe state reset")
                await self._pause(self._context.timeouts.halt_s)
            except ConfigError as error:
                self._halt(error, "streamscribe topics check, and streamscribe acls worker")
                await self._pause(self._context.timeouts.halt_s)

    def step(self, inputs: Inputs) -> Effects | None:
        """Return the effects of a step of the task; None: it is not served, or had a fault."""
        if self.task is None:
            return None
        try:
            return self.task.step(inputs)
        except StreamFault as fault:
            self._fault = fault
            self._drop()
            self._wakeup.notify()
            return None

    def notify(self) -> None:
        """Request a commit."""
        self._wakeup.notify()

    def reassigned(self) -> None:
        """Prove the ownership and seek again: a rebalance has reset the fetch position."""
        self._is_unproven = True
        self._wakeup.notify()

    def offset_out_of_range(self) -> None:
        """Open the partition again: the next offset to be read has been deleted."""
        self._is_out_of_range = True
        self._wakeup.notify()

    def revoke(self) -> None:
        """End without a commit: another worker owns the partition."""
        self._is_revoked = True
        self._drop()
        self._wakeup.close()

    def drain(self) -> None:
        """Commit the output, all of which is known, and end."""
        self._wakeup.close()

    # --- records

    @property
    def is_caught_up(self) -> bool:
        """Whether no fetched record waits to be read."""
        return self._window.is_empty and self._resume_at is None

    def offer(self, records: Iterable[Record | UnreadableBatch]) -> None:
        """Add fetched records; those without room are fetched again later."""
        if self.task is None or self._resume_at is not None:
            return
        self._resume_at = self._window.push(records)
        if self._resume_at is not None:
            self._context.shells.source.pause(self.partition)

    def take(self) -> list[IncomingRecord]:
        """Return records to read now; to be called until it returns none."""
        if self.task is None:
            return []
        taken = self._window.take(self.task)
        if self._resume_at is not None and self._window.has_room:
            self._context.shells.source.seek(self.partition, self._resume_at)
            self._resume_at = None
        return taken

    def _new_window(self) -> DecodeWindow:
        context = self._context
        return DecodeWindow(context.shells.codecs, context.spawn, context.on_decoded)

    # --- opening and committing

    async def _serve_once(self) -> None:
        self._is_out_of_range, self._fault = False, None
        journal = await self._context.shells.store.open(self.partition)
        try:
            task = self._restore(journal.found)
            await self._commit(journal, task, force=True)
            self._serve(task)
            await self._commit_all(journal, task)
        finally:
            self._drop()
            await journal.close()

    def _restore(self, found: Found) -> PartitionTask:
        restored = recover(found, from_earliest=self.policy.from_earliest)
        if found.partition in self._written:  # no other owner in between, and this worker survived
            restored = replace(restored, partition=replace(restored.partition, clean=True))
        epoch = self._context.next_epoch()
        ledger = self._context.make_ledger(self.partition, epoch, restored)
        exclusions = self._exclusions
        return PartitionTask(self.partition, epoch, self.policy, restored, ledger, exclusions)

    def _serve(self, task: PartitionTask) -> None:
        if self._is_revoked:
            raise Fenced("the partition was revoked while it was opened")
        self.is_halted = self._is_unproven = False
        self.task = task
        self._window.close()
        self._resume_at = None
        self._context.shells.source.seek(self.partition, task.ledger.position)
        state = task.ledger.committed
        log.info(
            "partition opened",
            **self._log_keys(),
            next_offset=state.next_offset,
            resume_offset=state.resume_offset,
            streams=task.streams,
        )

    async def _commit_all(self, journal: Journal, task: PartitionTask) -> None:
        clock, timeouts = self._context.shells.clock, self._context.timeouts
        progress_at = clock.monotonic()
        while await self._wakeup.wait(timeouts.progress_s):
            if self._is_out_of_range:
                raise Retriable("audio was deleted before it was read: raise the topic's retention")
            if task.ledger.has_output:
                await clock.sleep(timeouts.coalesce_s)
            due = self._is_unproven or clock.monotonic() - progress_at >= timeouts.progress_s
            await self._commit(journal, task, progress=due, force=self._is_unproven)
            progress_at = clock.monotonic() if due else progress_at
            if self._is_unproven:
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
        self._raise_fault()
        commit = task.prepare_commit(progress=progress, clean=clean, force=force)
        if commit is None:
            return
        clock = self._context.shells.clock
        self._written = (task.ledger.committed, commit.state)
        began = clock.monotonic()
        try:
            await journal.commit(commit)
        except (Fenced, Retriable, ConfigError, StreamFault):
            self._context.metrics.count("commits", result="failed")
            raise
        now = clock.monotonic()
        self._context.metrics.observe_commit(commit, now - began)
        self._warn_of_rejections(commit, now)
        self._raise_fault()
        effects = task.step(Inputs(now, clock.unix_ms(), committed=commit))
        self._context.execute(self, effects)

    def _raise_fault(self) -> None:
        """Raise the fault of the task, which must not be used any more."""
        if self._fault is not None:
            raise self._fault

    def _exclude(self, fault: StreamFault) -> None:
        """Exclude the stream from the next task; its channels, too, if each is a stream."""
        channels = names(fault.stream_id) if self.policy.split_channels else ()
        for name in (fault.stream_id, *channels):
            self._exclusions.add(name, fault.next_offset)
        self._context.metrics.count("contained_errors", stage="stream")
        cause = fault.__cause__ or fault
        log.error(
            "stream failed, reopening its partition",
            **self._log_keys(),
            stream=fault.stream_id,
            error=type(cause).__name__,
            traceback=where_raised(cause),
            action="its records are dead letters (internal_error): report the traceback, then "
            "redrive them",
        )

    def _warn_of_rejections(self, commit: Commit, now: float) -> None:
        rejected = [each for each in commit.dead_letters if each.reason in REJECTION_REASONS]
        if rejected and now >= self._rejections_warned_at + REJECTIONS_WARNING_S:
            self._rejections_warned_at = now
            log.warning(
                "new streams rejected",
                **self._log_keys(),
                error=rejected[-1].message,
                refused=commit.state.tally.refused,
            )

    def _drop(self) -> None:
        """Drop the task and everything that is not committed."""
        self._window.close()
        if self.task is not None:
            self.task = None
            self._context.shells.source.pause(self.partition)
            self._context.discard_jobs()

    async def _pause(self, seconds: float) -> None:
        if not self._wakeup.is_closed:
            await self._context.shells.clock.sleep(seconds)

    def _log_failure(self, event: str, error: Exception) -> None:
        if not self._is_revoked:
            log.warning(event, **self._log_keys(), error=str(error))

    def _halt(self, error: Exception, action: str) -> None:
        if not self.is_halted:
            log.error("partition halted", **self._log_keys(), error=str(error), action=action)
        self.is_halted = True

    def _log_keys(self) -> dict[str, object]:
        return {"topic": self.partition.topic, "partition": self.partition.number}
