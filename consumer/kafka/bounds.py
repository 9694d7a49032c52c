"""Where a partition's log begins and ends."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition


async def bounds(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """The first offset that Kafka has, and the one behind the last, undecided ones included."""
    begins = await consumer.beginning_offsets([tp])
    ends = await consumer.end_offsets([tp])
    return begins[tp], ends[tp]
