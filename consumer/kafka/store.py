"""Progress kept in Kafka: one transactional id for each input partition of the group.

The id is the fence: whoever opens a partition gets a higher epoch, and nothing that an earlier
owner still has under way can become visible (as in Kafka Streams' EOS v1, Kafka Connect's KIP-618).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.core.progress import Commit, DeadLetter
from consumer.core.state import Found
from consumer.core.values import Partition
from consumer.errors import Fenced, Retriable
from consumer.kafka.errors import translated
from consumer.kafka.state import decode_states, encode_states
from consumer.kafka.transaction import Output, TransactionalProducer
from schemas.codec import encode_event
from schemas.topics import Topics

READ_S: Final = 60.0  # a transaction of another group in the same partition may hold it up
_AT_ONCE: Final = 8  # partitions whose state is read at a time
_POLL_MS: Final = 200

log = structlog.get_logger(__name__)


class Owner(Protocol):
    """Who knows whose a partition is, and what the group and the log say of it."""

    def owns(self, partition: Partition) -> bool: ...

    async def group_offset(self, partition: Partition) -> int | None: ...

    async def bounds(self, partition: Partition) -> tuple[int, int]: ...


class KafkaStore:
    """Opens partitions; see `consumer.keeper.Store`."""

    def __init__(
        self, bootstrap: str, topics: Topics, group: str, owner: Owner, worker: str
    ) -> None:
        """`worker`: named in dead letters."""
        self._bootstrap = bootstrap
        self._topics = topics
        self._group = group
        self._owner = owner
        self._worker = worker
        self._readers = asyncio.Semaphore(_AT_ONCE)

    async def open(self, partition: Partition) -> KafkaJournal:
        """Fence the one before, then read how far it came, in that order.

        Raises `Fenced` (it is not ours any more), `Retriable`, `ConfigError`, `Halt`.
        """
        self._check_owned(partition)
        name = f"stt.{self._group}.{partition.topic}.{partition.number}"
        producer = TransactionalProducer(self._bootstrap, name)
        try:
            await producer.start()
            self._check_owned(partition)
            found = await self._find(partition)
        except BaseException:
            await producer.close()
            raise
        return KafkaJournal(producer, found, self._topics, self._group, self._worker)

    def _check_owned(self, partition: Partition) -> None:
        if not self._owner.owns(partition):
            raise Fenced("the group has given it to another worker")

    async def _find(self, partition: Partition) -> Found:
        records = await self._read(partition.number)
        state, streams = decode_states(self._group, partition.topic, records)
        with translated("asking for offsets"):
            log_start, log_end = await self._owner.bounds(partition)
            group_offset = await self._owner.group_offset(partition)
        return Found(state, streams, group_offset, log_start, log_end)

    async def _read(self, number: int) -> list[tuple[bytes | None, bytes | None]]:
        """All that is committed in this partition of the state topic as of now."""
        tp = TopicPartition(self._topics.state, number)
        try:
            async with self._readers, asyncio.timeout(READ_S), _reader(self._bootstrap) as reader:
                reader.assign([tp])
                end = (await reader.end_offsets([tp]))[tp]
                begin = (await reader.beginning_offsets([tp]))[tp]
                reader.seek(tp, begin)
                return await _read_to(reader, tp, end)
        except TimeoutError as error:
            raise Retriable(
                f"{tp.topic} {tp.partition} was not read to its end within {READ_S:.0f} s"
            ) from error


@asynccontextmanager
async def _reader(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Of no group, and blind to what was aborted or is undecided."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    with translated("reading the state topic"):
        await reader.start()
        try:
            yield reader
        finally:
            await reader.stop()


async def _read_to(
    reader: AIOKafkaConsumer, tp: TopicPartition, end: int
) -> list[tuple[bytes | None, bytes | None]]:
    records: list[tuple[bytes | None, bytes | None]] = []
    while await reader.position(tp) < end:
        batches = await reader.getmany(tp, timeout_ms=_POLL_MS)
        records += [(record.key, record.value) for record in batches.get(tp, ())]
    return records


class KafkaJournal:
    """One partition's output and progress; see `consumer.keeper.Journal`."""

    def __init__(
        self,
        producer: TransactionalProducer,
        found: Found,
        topics: Topics,
        group: str,
        worker: str,
    ) -> None:
        self.found = found
        self._producer = producer
        self._topics = topics
        self._group = group
        self._worker = worker

    async def commit(self, commit: Commit) -> None:
        """One transaction. Raises `Fenced`, `Retriable`, `ConfigError`; then it is over."""
        await self._producer.write(self._outputs(commit))

    async def close(self) -> None:
        await self._producer.close()

    def _outputs(self, commit: Commit) -> list[Output]:
        number, topics = commit.partition.number, self._topics
        states = encode_states(self._group, commit)
        return [
            *(Output(topics.transcripts, number, *encode_event(e)) for e in commit.events),
            *(self._dead(letter) for letter in commit.dead_letters),
            *(Output(topics.state, number, *state) for state in states),
        ]

    def _dead(self, letter: DeadLetter) -> Output:
        """The record as it came, and why it is here."""
        record = letter.record
        told = {
            "dlq.reason": letter.reason,
            "dlq.message": letter.message,
            "dlq.topic": record.partition.topic,
            "dlq.partition": str(record.partition.number),
            "dlq.offset": str(record.offset),
            "dlq.timestamp": str(record.timestamp_ms),
            "dlq.worker": self._worker,
        }
        headers = [*record.headers, *((name, text.encode()) for name, text in told.items())]
        number = record.partition.number
        return Output(self._topics.audio_dlq, number, record.key, record.value, headers)
