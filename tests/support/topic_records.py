"""Read the records of a topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

TIMEOUT_S: Final = 60.0


async def read_topic(bootstrap: str, topic: str, partitions: int = 4) -> list[ConsumerRecord]:
    """Return all records up to the current end; those of one partition are in order."""
    assigned = [TopicPartition(topic, number) for number in range(partitions)]
    records: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign(assigned)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(assigned)
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                records += batch
    return records


async def read_until(
    bootstrap: str,
    topic: str,
    is_complete: Callable[[list[ConsumerRecord]], bool],
    partitions: int = 4,
) -> list[ConsumerRecord]:
    """Return the records from the beginning until they are complete, waiting for new ones."""
    records: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(TIMEOUT_S):
            while not is_complete(records):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records += batch
    return records
