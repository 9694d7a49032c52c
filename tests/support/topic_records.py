"""Read all records of a topic."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition


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
