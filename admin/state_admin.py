"""Read the committed state of every partition, and reset partitions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.core.partition.state import Found, Halt, recover
from consumer.core.streams.records import Partition
from consumer.errors import ConfigError
from consumer.kafka.errors import translate_errors
from consumer.kafka.group_offsets import group_offset
from consumer.kafka.state_reader import KeyValue, offset_range, read_states
from consumer.kafka.state_records import decode_states, encode_reset, keys_of
from consumer.kafka.transaction import Output, TransactionalProducer, transactional_id
from schemas.topics import Topics
from transport.compat import client_of
from transport.credentials import Credentials


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """The state of one partition as its next worker would find it."""

    partition: Partition
    found: Found | None  # None: its state records cannot be decoded
    problem: str | None  # why a worker would halt


@dataclass(frozen=True, slots=True)
class StateAdmin:
    """Access to the state of one group. Methods raise `Retriable`, `ConfigError`."""

    bootstrap: str
    credentials: Credentials
    topics: Topics
    group: str

    async def list_partitions(self) -> list[PartitionStatus]:
        """Return the status of every partition of both audio topics."""
        async with self._consumer() as consumer:
            names = (self.topics.audio, self.topics.audio_bulk)
            numbers = {name: await self._partition_numbers(consumer, name) for name in names}
            consumer.assign([TopicPartition(t, n) for t in names for n in numbers[t]])
            records = {number: await self._records(number) for number in sorted(numbers[names[0]])}
            return [
                await self._status(consumer, Partition(name, number), records[number])
                for name in names
                for number in sorted(numbers[name])
            ]

    async def reset(self, partition: Partition, offset: int) -> None:
        """Set the partition to `offset` without open streams, whose speech is lost or repeated.

        This fences a worker that serves the partition; it then opens the partition again.
        """
        records = await self._records(partition.number)
        streams = keys_of(self.group, partition.topic, records)
        reset = encode_reset(self.group, partition.topic, offset, streams)
        name = transactional_id(self.group, partition)
        producer = TransactionalProducer(self.bootstrap, self.credentials, name)
        try:
            await producer.start()
            await producer.write(
                [Output(self.topics.state, partition.number, *record) for record in reset]
            )
        finally:
            await producer.close()

    async def partition_numbers(self, topic: str) -> list[int]:
        """Return the numbers of the partitions of an audio topic."""
        async with self._consumer() as consumer:
            return sorted(await self._partition_numbers(consumer, topic))

    async def offset_range(self, partition: Partition) -> tuple[int, int]:
        """Return the first offset of an audio partition in Kafka, and the one after the last."""
        async with self._consumer() as consumer:
            numbers = await self._partition_numbers(consumer, partition.topic)
            if partition.number not in numbers:
                raise ConfigError(
                    f"{partition.topic} has no partition {partition.number}: "
                    f"choose one from {min(numbers)} to {max(numbers)}"
                )
            consumer.assign([TopicPartition(*partition)])
            return await offset_range(consumer, TopicPartition(*partition))

    async def _status(
        self, consumer: AIOKafkaConsumer, partition: Partition, records: list[KeyValue]
    ) -> PartitionStatus:
        with translate_errors("asking for offsets"):
            log_start, log_end = await offset_range(consumer, TopicPartition(*partition))
            offset = await group_offset(consumer, partition)
        try:
            state, streams = decode_states(self.group, partition.topic, records)
        except Halt as error:
            return PartitionStatus(partition, None, str(error))
        found = Found(state, streams, offset, log_start, log_end)
        try:
            recover(found, from_earliest=True)
        except Halt as error:
            return PartitionStatus(partition, found, str(error))
        return PartitionStatus(partition, found, None)

    async def _records(self, number: int) -> list[KeyValue]:
        return await read_states(self.bootstrap, self.credentials, self.topics.state, number)

    async def _partition_numbers(self, consumer: AIOKafkaConsumer, topic: str) -> set[int]:
        # All topics are requested: a request for this one by name might create it.
        cluster = await client_of(consumer).fetch_all_metadata()
        numbers: set[int] | None = cluster.partitions_for_topic(topic)
        if not numbers:
            raise ConfigError(f"{topic}: missing; run `streamscribe topics create`")
        return numbers

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Yield a consumer that reads the group's offsets without joining the group."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            **self.credentials.arguments,
        )
        with translate_errors("reaching the brokers"):
            try:
                await consumer.start()
                yield consumer
            finally:
                await consumer.stop()
