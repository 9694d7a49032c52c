"""The pipeline's shells without Kafka: each input is a partition of the bulk lane, in memory.

The records of an input have one append time. So no clock cuts or ends a stream: only its audio and
its last record do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, Record
from consumer.errors import Fenced
from consumer.wakeup import Wakeup
from offline.input_log import InputLog
from schemas.transcript import AnyEvent

RECORDS: Final = 10  # of each input in one poll
_WAIT_S: Final = 1.0  # of a poll without records
_PAUSE_S: Final = 0.02  # of a poll while back-pressure lasts


class InputPartitions:
    """`consumer.interfaces.RecordSource` and `Store` of the inputs that are being transcribed."""

    def __init__(self) -> None:
        self._logs: dict[Partition, InputLog] = {}
        self._is_assigned = True  # whether the pipeline knows which partitions there are
        self._wakeup = Wakeup()

    @property
    def logs(self) -> Collection[InputLog]:
        return self._logs.values()

    def add(self, log: InputLog) -> None:
        self._logs[log.partition] = log
        self._is_assigned = False
        self._wakeup.notify()

    def remove(self, log: InputLog) -> None:
        del self._logs[log.partition]
        self._is_assigned = False
        self._wakeup.notify()

    def notify(self) -> None:
        """End the wait of a poll: there are records, or the pipeline is to end."""
        self._wakeup.notify()

    # --- RecordSource

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        if not self._is_assigned:
            self._is_assigned = True
            assigned = tuple(Assignment(partition, Lane.BULK) for partition in self._logs)
            return Poll(assigned=assigned)
        if Lane.BULK not in lanes:
            await asyncio.sleep(_PAUSE_S)
            return Poll()
        if not (records := self._take()):
            await self._wakeup.wait(_WAIT_S)
            records = self._take()
        return Poll(records=tuple(records))

    def seek(self, partition: Partition, offset: int) -> None:
        if (log := self._logs.get(partition)) is not None:
            log.seek(offset)
            self._wakeup.notify()

    def pause(self, partition: Partition) -> None:
        if (log := self._logs.get(partition)) is not None:
            log.pause()

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing: there is no consumer group."""

    # --- Store

    async def open(self, partition: Partition) -> InputJournal:
        if (log := self._logs.get(partition)) is None:
            raise Fenced("the input has been removed")
        return InputJournal(log)

    def _take(self) -> list[Record]:
        return [record for log in self._logs.values() for record in log.take(RECORDS)]


class InputJournal:
    """`consumer.interfaces.Journal` of one input."""

    def __init__(self, log: InputLog) -> None:
        self.found: Found = log.found()
        self._log = log

    async def commit(self, commit: Commit) -> None:
        self._log.commit(commit)

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class NoBroadcast:
    """`consumer.interfaces.Broadcast` without readers of partials."""

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        """Do nothing."""
