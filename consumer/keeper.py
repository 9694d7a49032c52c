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
from typing import Protocol

import structlog

from consumer.core.partition.commit import Commit
from consumer.core.partition.partition import PartitionPolicy, PartitionTask
from consumer.core.partition.state import Found, Halt, PartitionState, recover
from consumer.core.partition.stream_admission import REJECTION_REASONS as TURNED_AWAY
from consumer.core.scheduling.jobs import Job
from consumer.core.streams.records import Partition
from consumer.errors import ConfigError, Fenced, Retriable
from consumer.metrics import Metrics

log = structlog.get_logger(__name__)

FLOOD_S = 60.0  # between two lines about streams that are turned away


class Journal(Protocol):
    """Where one partition's output and progress go; whoever opens it next fences this one."""

    found: Found

    async def commit(self, commit: Commit) -> None:
        """Publish and write down all of it, or nothing.

        Raises `Fenced`, `Retriable` (the outcome is not known), `ConfigError` (Kafka refuses).
        Whatever it raises, this journal is of no use any more.
        """

    async def close(self) -> None: ...


class Store(Protocol):
    """Where progress is kept."""

    async def open(self, partition: Partition) -> Journal:
        """Raises as `Journal.commit` does."""


class Feed(Protocol):
    """Who reads the records of assigned partitions."""

    def begin(self, partition: Partition, offset: int) -> None:
        """Read it from here on; nothing that was read before comes any more."""

    def hold(self, partition: Partition) -> None:
        """Do not read it."""


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
    retry_s: float  # before a partition is opened again
    halt_s: float  # likewise, when only an operator can help
    drain_s: float  # from the wish to stop to the end


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every keeper works with."""

    store: Store
    feed: Feed
    clock: Clock
    pace: Pace
    metrics: Metrics
    next_epoch: Callable[[], int]
    add: Callable[[Sequence[Job]], None]  # jobs that wait for the model
    void: Callable[[], None]  # a task is gone, and its jobs with it


class Bell:
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


class Keeper:
    """`task` is there while the partition is served."""

    def __init__(self, partition: Partition, policy: PartitionPolicy, around: Surroundings) -> None:
        self.partition = partition
        self.task: PartitionTask | None = None
        self.is_halted = False
        self._policy = policy
        self._around = around
        self._bell = Bell()
        self._is_given_away = False
        self._overtaken = False
        self._flood_told_at = -FLOOD_S  # monotonic
        self._written: tuple[PartitionState, ...] = ()  # what the newest commit left, or did not
        self._unproven = False  # assigned anew: whether it is still ours a commit has to tell

    async def run(self) -> None:
        """Until it is given away, or drained."""
        while not self._bell.is_closed:
            try:
                await self._keep()
            except Fenced as error:
                self._told("partition is another worker's now", error)
                await self._pause(self._around.pace.retry_s)
            except Retriable as error:
                self._told("partition will be opened again", error)
                await self._pause(self._around.pace.retry_s)
            except Halt as error:
                self._halt(error, "streamscribe state show, then streamscribe state reset")
                await self._pause(self._around.pace.halt_s)
            except ConfigError as error:
                self._halt(error, "streamscribe topics check, and streamscribe acls worker")
                await self._pause(self._around.pace.halt_s)

    def ring(self) -> None:
        """The task has output."""
        self._bell.ring()

    def assigned_again(self) -> None:
        """After a rebalance, which made the consumer forget where it was."""
        self._unproven = True
        self._bell.ring()

    def overtaken(self) -> None:
        """What was to be read next has been deleted."""
        self._overtaken = True
        self._bell.ring()

    def give_away(self) -> None:
        """Another worker has it; nothing more is committed."""
        self._is_given_away = True
        self._drop()
        self._bell.close()

    def drain(self) -> None:
        """All output is there: commit it, and end."""
        self._bell.close()

    async def _keep(self) -> None:
        self._overtaken = False
        journal = await self._around.store.open(self.partition)
        try:
            task = self._begin(journal.found)
            await self._commit(journal, task, force=True)
            self._serve(task)
            await self._commit_all(journal, task)
        finally:
            self._drop()
            await journal.close()

    def _begin(self, found: Found) -> PartitionTask:
        restored = recover(found, from_earliest=self._policy.from_earliest)
        if found.partition in self._written:  # nobody had it in between, and we have survived
            restored = replace(restored, partition=replace(restored.partition, clean=True))
        epoch = self._around.next_epoch()
        return PartitionTask(self.partition, epoch, self._policy, restored)

    def _serve(self, task: PartitionTask) -> None:
        if self._is_given_away:
            raise Fenced("it was given away while it was opened")
        self.is_halted = self._unproven = False
        self.task = task
        self._around.feed.begin(self.partition, task.ledger.position)
        state = task.ledger.committed
        log.info(
            "partition opened",
            **self._named(),
            next_offset=state.next_offset,
            resume_offset=state.resume_offset,
            streams=task.streams,
        )

    async def _commit_all(self, journal: Journal, task: PartitionTask) -> None:
        clock, pace = self._around.clock, self._around.pace
        told = clock.monotonic()
        while await self._bell.wait(pace.progress_s):
            if self._overtaken:
                raise Retriable("audio was deleted before it was read: its offsets are lost")
            if task.ledger.has_output:
                await clock.sleep(pace.coalesce_s)
            due = self._unproven or clock.monotonic() - told >= pace.progress_s
            await self._commit(journal, task, progress=due, force=self._unproven)
            told = clock.monotonic() if due else told
            if self._unproven:
                self._serve(task)
        if not self._is_given_away:
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
        began = self._around.clock.monotonic()
        try:
            await journal.commit(commit)
        except (Fenced, Retriable, ConfigError):
            self._around.metrics.count("commits", result="failed")
            raise
        now = self._around.clock.monotonic()
        self._around.metrics.committed(commit, now - began)
        self._tell_flood(commit, now)
        self._around.add(task.on_committed(commit, now))

    def _tell_flood(self, commit: Commit, now: float) -> None:
        over = [letter for letter in commit.dead_letters if letter.reason in TURNED_AWAY]
        if over and now >= self._flood_told_at + FLOOD_S:
            self._flood_told_at = now
            refused = commit.state.tally.refused
            log.warning(
                "streams are turned away", **self._named(), why=over[-1].message, refused=refused
            )

    def _drop(self) -> None:
        if self.task is not None:
            self.task = None
            self._around.feed.hold(self.partition)
            self._around.void()

    async def _pause(self, seconds: float) -> None:
        if not self._bell.is_closed:
            await self._around.clock.sleep(seconds)

    def _told(self, event: str, error: Exception) -> None:
        if not self._is_given_away:
            log.warning(event, **self._named(), why=str(error))

    def _halt(self, error: Exception, do: str) -> None:
        if not self.is_halted:
            log.error("partition halted", **self._named(), why=str(error), do=do)
        self.is_halted = True

    def _named(self) -> dict[str, object]:
        return {"topic": self.partition.topic, "partition": self.partition.number}
