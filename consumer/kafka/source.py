"""Records in, and whose they are: one member of the consumer group, behind one poll loop.

Offsets are ours, never aiokafka's: it commits nothing and resets nothing by itself. Every rebalance
makes it forget positions, so each assigned partition is looked up and sought before it is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from consumer.core.progress import Commit
from consumer.core.values import Assignment, Lane, Partition, Poll, Record
from consumer.kafka.errors import translated

log = structlog.get_logger(__name__)

POLL_MS = 50  # the longest wait for a record
POLL_RECORDS = 500  # at most in one poll, so that the event loop stays quick
IDLE_S = 0.01  # after a poll that brought nothing
_GONE: Final = object()


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """How to join the group."""

    bootstrap: str
    group: str
    topics: Mapping[str, Lane]
    from_earliest: bool  # where a group without offsets begins; else at the end


class KafkaSource(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped here
    """Use as an asynchronous context manager; entering it joins the group."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap,
            group_id=settings.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            rebalance_timeout_ms=20_000,
            request_timeout_ms=30_000,
            max_poll_interval_ms=600_000,
            fetch_max_bytes=16 << 20,
            max_partition_fetch_bytes=2 << 20,
        )
        self._rebalances = 0
        self._epochs = count(1)
        self._owned: dict[Partition, int] = {}  # read from; with the epoch of each
        self._revoked: list[Partition] = []
        self._unsought: dict[Partition, int | None] = {}  # where to begin; None: look it up

    async def __aenter__(self) -> Self:
        with translated("joining the group"):
            self._consumer.subscribe(list(self._settings.topics), listener=self)
            await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    # --- the group, as aiokafka tells it: no long work here, its heartbeats wait

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._rebalances += 1
        self._revoked.extend(self._owned)
        self._owned.clear()
        self._unsought.clear()
        if revoked:
            log.info("partitions revoked", count=len(revoked))

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._unsought = {Partition(tp.topic, tp.partition): None for tp in assigned}
        log.info("partitions assigned", count=len(assigned))

    # --- the poll loop

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Changes of the assignment, and what came since; waits `POLL_MS` at most for a record.

        Raises `Retriable` when the brokers do not answer; the next call goes on where this began.
        """
        rebalances = self._rebalances
        with translated("reading audio"):
            assigned = await self._seek()
            records = await self._fetch(lanes)
        if rebalances != self._rebalances:  # meanwhile: all is sought and read again by its owner
            assigned, records = [], []
        revoked, self._revoked = self._revoked, []
        return Poll(tuple(revoked), tuple(assigned), tuple(records), self._caught_up(records))

    def owns(self, commit: Commit) -> bool:
        """Whether the assignment that the commit was prepared under still holds."""
        return self._owned.get(commit.partition) == commit.epoch

    async def store(self, commits: Sequence[Commit]) -> None:
        """Store R of each as the group's offset. Raises `Fenced`, `Retriable`."""
        offsets = {
            TopicPartition(*commit.partition): OffsetAndMetadata(commit.resume_offset, "")
            for commit in commits
        }
        with translated("storing offsets"):
            await self._consumer.commit(offsets)

    async def _seek(self) -> list[Assignment]:
        """Give every newly assigned partition its position; it is read from now on."""
        assignments = []
        for partition, known in list(self._unsought.items()):
            offset = await self._start_offset(partition) if known is None else known
            if self._unsought.pop(partition, _GONE) is _GONE:
                break  # a rebalance meanwhile
            self._consumer.seek(TopicPartition(*partition), offset)
            epoch = self._owned[partition] = next(self._epochs)
            assignments.append(Assignment(partition, epoch, self._lane(partition), offset))
        return assignments

    async def _start_offset(self, partition: Partition) -> int:
        tp = TopicPartition(*partition)
        committed: int | None = await self._consumer.committed(tp)
        if committed is None:
            return await self._edge(tp, begin=self._settings.from_earliest)
        return committed

    async def _edge(self, tp: TopicPartition, *, begin: bool) -> int:
        ask = self._consumer.beginning_offsets if begin else self._consumer.end_offsets
        offsets: dict[TopicPartition, int] = await ask([tp])
        return offsets[tp]

    async def _fetch(self, lanes: frozenset[Lane]) -> list[Record]:
        """Live before bulk: bulk is looked at without waiting."""
        records: list[Record] = []
        for lane in sorted(lanes):
            ready = [TopicPartition(*p) for p in self._owned if self._lane(p) is lane]
            if ready:
                records += await self._get(ready, POLL_MS if lane is Lane.LIVE else 0)
        if not records:
            await asyncio.sleep(IDLE_S)
        return records

    async def _get(self, ready: list[TopicPartition], wait_ms: int) -> list[Record]:
        try:
            batches = await self._consumer.getmany(
                *ready, timeout_ms=wait_ms, max_records=POLL_RECORDS
            )
        except OffsetOutOfRangeError as error:
            await self._skip(error.args[0])
            return []
        return [_record(record) for batch in batches.values() for record in batch]

    async def _skip(self, lost: Mapping[TopicPartition, int]) -> None:
        """Retention overtook the reader: begin anew at what is left."""
        for tp, offset in lost.items():
            partition = Partition(tp.topic, tp.partition)
            begin = await self._edge(tp, begin=True)
            log.error(
                "audio was deleted before it was read: add workers or raise retention.ms",
                topic=tp.topic,
                partition=tp.partition,
                first_offset=offset,
                last_offset=begin - 1,
            )
            if self._owned.pop(partition, None) is not None:
                self._revoked.append(partition)
                self._unsought[partition] = begin

    def _caught_up(self, records: Sequence[Record]) -> frozenset[Partition]:
        """Partitions of which Kafka holds nothing that has not been read."""
        busy = {record.partition for record in records}
        return frozenset(p for p in self._owned if p not in busy and self._at_end(p))

    def _at_end(self, partition: Partition) -> bool:
        tp = TopicPartition(*partition)
        highwater = self._consumer.highwater(tp)
        state = self._consumer._subscription.subscription.assignment.state_value(tp)  # noqa: SLF001
        return highwater is not None and state.position >= highwater

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
