"""The member of the consumer group: assignments and records, in one poll loop.

The group's offsets do not decide where a partition is read from: its runner does, by `seek`, from
the state topic. A rebalance makes aiokafka forget all positions, so every runner seeks again.
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
POLL_RECORDS = 500  # at most in one poll, which bounds the work per turn of the event loop
IDLE_S = 0.01  # pause after a poll without records
REQUEST_TIMEOUT_S = 10.0  # of requests that aiokafka would repeat without end


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """The group to join, and the topics to subscribe to."""

    bootstrap: str
    group: str
    topics: Mapping[str, Lane]


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """A `RecordSource`. An asynchronous context manager; entering it joins the group."""

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
            check_crcs=False,  # FetchGuard checks them
        )
        self._guard = FetchGuard(self._consumer)
        credentials.attach(client_of(self._consumer))
        self._assigned: tuple[Partition, ...] = ()
        self._is_assignment_new = False  # `poll` has not returned `_assigned` yet
        self._reading: dict[Partition, object] = {}  # by partition: identity of its last seek

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

    # --- callbacks of aiokafka, which sends no heartbeat until they return

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Stop reading. Runners go on committing until another worker fences them."""
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
        """Return a new assignment and fetched records; wait `POLL_MS` at most for a record.

        Raises `Retriable` if no broker responds; the next call continues at the same offsets.
        """
        seeks = dict(self._reading)
        with translate_errors("reading audio"):
            records, out_of_range = await self._fetch(lanes)
        # Records fetched before a rebalance or another seek are dropped: they are read again.
        current = {p for p, seek in self._reading.items() if seeks.get(p) is seek}
        records = [record for record in records if record.partition in current]
        return Poll(
            self._take_assignment(),
            tuple(current.intersection(out_of_range)),
            tuple(records),
            self._caught_up(current, records),
        )

    def seek(self, partition: Partition, offset: int) -> None:
        """Read the partition from `offset` on; do nothing if it is not assigned."""
        try:
            self._consumer.seek(TopicPartition(*partition), offset)
        except IllegalStateError:
            return  # during a rebalance: the next assignment makes its runner seek again
        self._reading[partition] = object()

    def pause(self, partition: Partition) -> None:
        self._reading.pop(partition, None)

    def owns(self, partition: Partition) -> bool:
        """Return whether the group has assigned the partition to this member."""
        return partition in self._assigned

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        """Return the offset that the group has stored. Raises `Retriable`."""
        async with deadline(REQUEST_TIMEOUT_S, "reading the group's offset"):
            return await group_offset(self._consumer, partition)

    async def offset_range(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset in the log, and the one after the last. Raises `Retriable`."""
        tp = TopicPartition(*partition)
        async with deadline(REQUEST_TIMEOUT_S, "reading the log's range of offsets"):
            return await offset_range(self._consumer, tp)

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Commit the resume offsets of assigned partitions. Raises `Fenced`, `Retriable`."""
        owned = {each: offset for each, offset in offsets.items() if self.owns(each)}
        if owned:
            async with deadline(REQUEST_TIMEOUT_S, "committing the group's offsets"):
                await self._consumer.commit(to_commit(owned))

    def _take_assignment(self) -> tuple[Assignment, ...] | None:
        if not self._is_assignment_new:
            return None
        self._is_assignment_new = False
        return tuple(Assignment(p, self._lane(p)) for p in self._assigned)

    async def _fetch(
        self, lanes: frozenset[Lane]
    ) -> tuple[list[Record | UnreadableBatch], list[Partition]]:
        """Return records, live before bulk, and the partitions whose offset is out of range."""
        records: list[Record | UnreadableBatch] = []
        out_of_range: list[Partition] = []
        for lane in sorted(lanes):
            ready = [TopicPartition(*p) for p in self._reading if self._lane(p) is lane]
            if ready:
                wait_ms = POLL_MS if lane is Lane.LIVE else 0
                records += await self._get(ready, wait_ms, out_of_range)
        if not records:
            await asyncio.sleep(IDLE_S)
        return records, out_of_range

    async def _get(
        self, ready: list[TopicPartition], wait_ms: int, out_of_range: list[Partition]
    ) -> list[Record | UnreadableBatch]:
        try:
            batches = await self._consumer.getmany(
                *ready, timeout_ms=wait_ms, max_records=POLL_RECORDS
            )
        except NoOffsetForPartitionError:
            return []  # fetched before the first seek
        except OffsetOutOfRangeError as error:
            out_of_range += [Partition(tp.topic, tp.partition) for tp in error.args[0]]
            return []
        return [
            self._guard.unreadable(record) or record_of(record)
            for batch in batches.values()
            for record in batch
        ]

    def _caught_up(
        self, current: set[Partition], records: Sequence[Record | UnreadableBatch]
    ) -> frozenset[Partition]:
        """Return the partitions without a waiting record in Kafka."""
        read = current - {record.partition for record in records}
        return frozenset(p for p in read if position_at_end(self._consumer, TopicPartition(*p)))

    def _lane(self, partition: Partition) -> Lane:
        return self._settings.topics[partition.topic]


def record_of(record: Any) -> Record:
    """Return a record of aiokafka's as one of this project."""
    return Record(
        Partition(record.topic, record.partition),
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )
