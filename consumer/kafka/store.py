"""The state of partitions in Kafka, with one transactional id per input partition of the group.

The id fences earlier owners: opening a partition raises the producer epoch, after which no open or
later transaction of an earlier owner can commit (as in Kafka Streams' EOS v1, and KIP-618).
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from consumer.core.partition.commit import Commit
from consumer.core.partition.faults import attributed_to
from consumer.core.partition.state import Found, GroupOffset
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Partition
from consumer.errors import Fenced
from consumer.kafka.dead_letters import dead_record
from consumer.kafka.state_reader import read_states
from consumer.kafka.state_records import decode_states, encode_open_marker, encode_states
from consumer.kafka.transaction import Output, TransactionalProducer, transactional_id
from schemas.codec import WireRecord, encode_event
from schemas.topics import Topics
from schemas.transcript import AnyEvent
from transport.credentials import Credentials

_MAX_READERS: Final = 8  # partitions whose state is read concurrently


class PartitionInfo(Protocol):
    """Ownership, group offset and log range of partitions. Raises `Retriable`, `ConfigError`."""

    def owns(self, partition: Partition) -> bool: ...

    async def group_offset(self, partition: Partition) -> GroupOffset | None: ...

    async def offset_range(self, partition: Partition) -> tuple[int, int]: ...


class KafkaStore:
    """A `Store` of `consumer.interfaces`."""

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
        self._readers = asyncio.Semaphore(_MAX_READERS)

    async def open(self, partition: Partition) -> KafkaJournal:
        """Fence the previous owner, write an open marker, and read the state up to the marker.

        The marker proves that the state is complete: a broker that has lost its leadership
        unnoticed cannot acknowledge it, but could serve an older state, whose finals would then be
        published again. Raises `Fenced` (not assigned any more), `Retriable`, `ConfigError`,
        `Halt`.
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
            raise Fenced("the group has assigned it to another worker")

    async def _write_open_marker(
        self, producer: TransactionalProducer, partition: Partition
    ) -> int:
        """Return the offset of the marker in the state topic."""
        marker = encode_open_marker(self._group, partition.topic, self._worker)
        (offset,) = await producer.write([Output(self._topics.state, partition.number, *marker)])
        return offset

    async def _find(self, partition: Partition, marker: int) -> Found:
        where = self._bootstrap, self._credentials, self._topics.state, partition.number
        async with self._readers:
            records = await read_states(*where, through=marker)
        state, streams = decode_states(self._group, partition.topic, records)
        log_start, log_end = await self._owner.offset_range(partition)
        group_offset = await self._owner.group_offset(partition)
        return Found(state, streams, group_offset, log_start, log_end)


class KafkaJournal:
    """A `Journal` of `consumer.interfaces`."""

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
        """Publish and write the commit in one transaction.

        Raises `Fenced`, `Retriable`, `ConfigError`; the journal cannot be used after that.
        """
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
            *(Output(topics.transcripts, number, *_encoded(e, commit)) for e in commit.events),
            *(
                Output(topics.audio_dlq, number, *_letter(letter, self._worker, commit))
                for letter in commit.dead_letters
            ),
            *(Output(topics.state, number, *state) for state in states),
        ]


def _letter(letter: DeadLetter, worker: str, commit: Commit) -> WireRecord:
    """Return the record of a dead letter. Raises `StreamFault` if it cannot be written."""
    stream_id = (letter.record.key or b"").decode("latin-1")
    with attributed_to(stream_id, commit.state.next_offset):
        return dead_record(letter, worker)


def _encoded(event: AnyEvent, commit: Commit) -> WireRecord:
    """Return the record of an event. Raises `StreamFault` if the event cannot be written."""
    with attributed_to(event.stream_id, commit.state.next_offset):
        return encode_event(event)
