"""Progress kept in Kafka: one transactional id for each input partition of the group.

The id is the fence: whoever opens a partition gets a higher epoch, and nothing that an earlier
owner still has under way can become visible (as in Kafka Streams' EOS v1, Kafka Connect's KIP-618).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found, GroupOffset
from consumer.core.streams.records import Partition
from consumer.errors import Fenced
from consumer.kafka.dead_letters import dead_record
from consumer.kafka.state_reader import read_states
from consumer.kafka.state_records import decode_states, encode_open_marker, encode_states
from consumer.kafka.transaction import Output, TransactionalProducer, transactional_id
from schemas.codec import encode_event
from schemas.topics import Topics
from transport.credentials import Credentials

_AT_ONCE: Final = 8  # partitions whose state is read at a time


class PartitionInfo(Protocol):
    """Who knows whose a partition is, and what the group and the log say of it.

    Asking raises `Retriable`, `ConfigError`.
    """

    def owns(self, partition: Partition) -> bool: ...

    async def group_offset(self, partition: Partition) -> GroupOffset | None: ...

    async def offset_range(self, partition: Partition) -> tuple[int, int]: ...


class KafkaStore:
    """Opens partitions; see `consumer.partition_runner.Store`."""

    def __init__(
        self,
        bootstrap: str,
        credentials: Credentials,
        topics: Topics,
        group: str,
        owner: PartitionInfo,
        worker: str,
    ) -> None:
        """`worker`: named in dead letters."""
        self._bootstrap, self._credentials = bootstrap, credentials
        self._topics = topics
        self._group = group
        self._owner = owner
        self._worker = worker
        self._readers = asyncio.Semaphore(_AT_ONCE)

    async def open(self, partition: Partition) -> KafkaJournal:
        """Fence the one before, leave a mark, then read how far it came through that mark.

        Only a broker that leads can give the mark: one that has missed that another leads now
        would give an older state, and what came behind it would be said again.
        Raises `Fenced` (it is not ours any more), `Retriable`, `ConfigError`, `Halt`.
        """
        self._check_owned(partition)
        name = transactional_id(self._group, partition)
        producer = TransactionalProducer(self._bootstrap, self._credentials, name)
        try:
            await producer.start()
            self._check_owned(partition)
            found = await self._find(partition, await self._write_open_marker(producer, partition))
        except BaseException:
            await producer.close()
            raise
        return KafkaJournal(producer, found, self._topics, self._group, self._worker)

    def _check_owned(self, partition: Partition) -> None:
        if not self._owner.owns(partition):
            raise Fenced("the group has given it to another worker")

    async def _write_open_marker(
        self, producer: TransactionalProducer, partition: Partition
    ) -> int:
        """Its offset in the state topic."""
        mark = encode_open_marker(self._group, partition.topic, self._worker)
        (offset,) = await producer.write([Output(self._topics.state, partition.number, *mark)])
        return offset

    async def _find(self, partition: Partition, mark: int) -> Found:
        where = self._bootstrap, self._credentials, self._topics.state, partition.number
        async with self._readers:
            records = await read_states(*where, through=mark)
        state, streams = decode_states(self._group, partition.topic, records)
        log_start, log_end = await self._owner.offset_range(partition)
        group_offset = await self._owner.group_offset(partition)
        return Found(state, streams, group_offset, log_start, log_end)


class KafkaJournal:
    """One partition's output and progress; see `consumer.partition_runner.Journal`."""

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
        if any(letter.utterance is not None for letter in commit.dead_letters):
            outputs = await asyncio.to_thread(self._outputs, commit)  # encodes their audio
        else:
            outputs = self._outputs(commit)
        await self._producer.write(outputs)

    async def close(self) -> None:
        await self._producer.close()

    def _outputs(self, commit: Commit) -> list[Output]:
        number, topics = commit.partition.number, self._topics
        states = encode_states(self._group, commit)
        return [
            *(Output(topics.transcripts, number, *encode_event(e)) for e in commit.events),
            *(
                Output(topics.audio_dlq, number, *dead_record(letter, self._worker))
                for letter in commit.dead_letters
            ),
            *(Output(topics.state, number, *state) for state in states),
        ]
