"""The group's offsets: for lag dashboards, and to notice that the state topic was lost.

A worker stores them with METADATA. An offset without it was set by an operator, with
kafka-consumer-groups or a client of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from consumer.core.partition.state import GroupOffset
from consumer.core.streams.records import Partition
from transport.compat import committed_offset

METADATA: Final = "streamscribe"


async def group_offset(consumer: AIOKafkaConsumer, partition: Partition) -> GroupOffset | None:
    """Return what the consumer's group has stored for the partition, or None."""
    found = await committed_offset(consumer, TopicPartition(*partition))
    return None if found is None else GroupOffset(found.offset, found.metadata == METADATA)


def to_commit(offsets: Mapping[Partition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets as the consumer's `commit` takes them."""
    return {
        TopicPartition(*partition): OffsetAndMetadata(offset, METADATA)
        for partition, offset in offsets.items()
    }
