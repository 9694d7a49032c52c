"""Records in, and whose they are: one member of the consumer group, behind one poll loop.

Offsets are not the group's business: where a partition is read from, its keeper says (`begin`),
which knows it from the state topic. Every rebalance makes aiokafka forget positions, so it has to
be said again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from consumer.core.partition.state import GroupOffset
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, Record, UnreadableBatch
from consumer.kafka.errors import deadline, translate_errors
from consumer.kafka.fetch_guard import FetchGuard
from consumer.kafka.group_offsets import group_offset, to_commit
from consumer.kafka.state_reader import offset_range
from transport.compat import client_of, position_at_end
from transport.credentials import Credentials

log = structlog.get_logger(__name__)

POLL_MS = 50  # the longest wait for a record
POLL_RECORDS = 500  # at most in one poll, so that the event loop stays quick
IDLE_S = 0.01  # after a poll that brought nothing
ASK_S = 10.0  # for what aiokafka would wait for as long as it takes


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How to join the group."""

    bootstrap: str
    group: str
    topics: Mapping[str, Lane]


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """Use as an asynchronous context manager; entering it joins the group."""

    def __init__(self, settings: SourceSettings, credentials: Credentials) -> None:
        self._settings = settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap,
            **credentials.arguments,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=8_000,
            heartbeat_interval_ms=2_000,
            rebalance_timeout_ms=20_000,
            request_timeout_ms=30_000,
            max_poll_interval_ms=600_000,
            fetch_max_bytes=16 << 20,
            max_partition_fetch_bytes=2 << 20,
            check_crcs=False,  # the guard does
        )
        self._guard = FetchGuard(self._consumer)
        credentials.attach(client_of(self._consumer))
        self._assigned: tuple[Partition, ...] = ()
        self._is_assignment_new = False  # the pipeline has not heard of `_assigned`
        self._reading: dict[Partition, object] = {}  # read from; with a mark of each beginning

    async def __aenter__(self) -> Self:
        try:
            with translate_errors("joining the group"):
                self._consumer.subscribe(list(self._settings.topics), listener=self)
                await self._consumer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    # --- the group, as aiokafka tells it: no long work here, its heartbeats wait

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """What is decoded goes on to be committed until another worker fences it."""
        self._assigned = ()
        self._is_assignment_new = False
        self._reading.clear()
        if revoked:
            log.info("partitions revoked", count=len(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._assigned = tuple(Partition(tp.topic, tp.partition) for tp in assigned)
        self._is_assignment_new = True
        log.info("partitions assigned", count=len(assigned))

    # --- the poll loop

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Changes of the assignment, and what came since; waits `POLL_MS` at most for a record.

        Raises `Retriable` when the brokers do not answer; the next call goes on where this began.
        """
        marks = dict(self._reading)
        with translate_errors("reading audio"):
            records, overtaken = await self._fetch(lanes)
        # What was fetched before a rebalance, or another beginning, is read again.
        current = {p for p, mark in self._reading.items() if marks.get(p) is mark}
        records = [record for record in records if record.partition in current]
        return Poll(
            self._take_assignment(),
            tuple(current.intersection(overtaken)),
            tuple(records),
            self._caught_up(current, records),
        )

    def seek(self, partition: Partition, offset: int) -> None:
        """Read the partition from here on; does nothing when it is not ours at the moment."""
        try:
            self._consumer.seek(TopicPartition(*partition), offset)
        except IllegalStateError:
            return  # between two assignments: the next one makes its keeper begin again
        self._reading[partition] = object()

    def pause(self, partition: Partition) -> None:
        self._reading.pop(partition, None)

    def owns(self, partition: Partition) -> bool:
        """Whether the group says that it is ours."""
        return partition in self._assigned

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """Return the offset that the group has stored. Raises `Retriable`."""
        async with deadline(ASK_S, "asking for the group's offset"):
            return await group_offset(self._consumer, partition)

    async def offset_range(self, partition: Partition) -> tuple[int, int]:
        """The first offset that Kafka has, and the one behind the last."""
        tp = TopicPartition(*partition)
        async with deadline(ASK_S, "asking for the log's bounds"):
            return await offset_range(self._consumer, tp)

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Store R of each as the group's offset. Raises `Fenced`, `Retriable`."""
        ours = {each: offset for each, offset in offsets.items() if self.owns(each)}
        if ours:
            async with deadline(ASK_S, "storing offsets"):
                await self._consumer.commit(to_commit(ours))

    def _take_assignment(self) -> tuple[Assignment, ...] | None:
        if not self._is_assignment_new:
            return None
        self._is_assignment_new = False
        return tuple(Assignment(p, self._lane(p)) for p in self._assigned)

    async def _fetch(
        self, lanes: frozenset[Lane]
    ) -> tuple[list[Record | UnreadableBatch], list[Partition]]:
        """Live before bulk: bulk is looked at without waiting. And what has been deleted."""
        records: list[Record | UnreadableBatch] = []
        overtaken: list[Partition] = []
        for lane in sorted(lanes):
            ready = [TopicPartition(*p) for p in self._reading if self._lane(p) is lane]
            if ready:
                wait_ms = POLL_MS if lane is Lane.LIVE else 0
                records += await self._get(ready, wait_ms, overtaken)
        if not records:
            await asyncio.sleep(IDLE_S)
        return records, overtaken

    async def _get(
        self, ready: list[TopicPartition], wait_ms: int, overtaken: list[Partition]
    ) -> list[Record | UnreadableBatch]:
        try:
            batches = await self._consumer.getmany(
                *ready, timeout_ms=wait_ms, max_records=POLL_RECORDS
            )
        except NoOffsetForPartitionError:
            return []  # of the time before it was told where to begin
        except OffsetOutOfRangeError as error:
            overtaken += [Partition(tp.topic, tp.partition) for tp in error.args[0]]
            return []
        return [
            self._guard.unreadable(record) or _record(record)
            for batch in batches.values()
            for record in batch
        ]

    def _caught_up(
        self, current: set[Partition], records: Sequence[Record | UnreadableBatch]
    ) -> frozenset[Partition]:
        """Partitions of which Kafka holds nothing that has not been read."""
        read = current - {record.partition for record in records}
        return frozenset(p for p in read if position_at_end(self._consumer, TopicPartition(*p)))

    def _lane(self, partition: Partition) -> Lane:
        return self._settings.topics[partition.topic]


def _record(record: Any) -> Record:
    return Record(
        Partition(record.topic, record.partition),
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
