from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from devstack.kafka import LocalKafka

ReadTopic: TypeAlias = Callable[[str], Awaitable[list[ConsumerRecord]]]


@pytest.fixture
def read_topic(kafka: LocalKafka) -> ReadTopic:
    """All records of a topic of `topics`, those of one partition in order."""

    async def read(topic: str) -> list[ConsumerRecord]:
        partitions = [TopicPartition(topic, number) for number in range(4)]
        records: list[ConsumerRecord] = []
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
        await consumer.start()
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(partitions)
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records += batch
        finally:
            await consumer.stop()
        return records

    return read
