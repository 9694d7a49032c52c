"""Inspect fetch responses before aiokafka parses them, so that no batch can stop a partition.

aiokafka 0.14 decompresses batches of any size, and at one that it cannot read every poll raises,
without the offset. So each fetch response passes here: batches are decompressed within a bound,
and one that cannot be read is replaced by a placeholder record (`consumer.kafka.batches`), once
reading it again has not helped.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

from consumer.core.streams.records import Partition, UnreadableBatch
from consumer.kafka.batches import (
    MAX_UNPACKED_BYTES,
    CorruptBatchError,
    is_packed,
    missing_range,
    parse_placeholder,
    placeholder,
    split,
    unpacked,
)
from schemas.errors import Reason, WireError
from transport.compat import Send, client_of, replace_send

log = structlog.get_logger(__name__)

REREAD_DELAY_S: Final = 0.5  # before a garbled batch is read again
IDENTICAL_READS: Final = 3  # reads in a row with the same bytes prove that the log holds them
MAX_READS: Final = 10  # whatever bytes they returned

_UNFRAMED: Final = CorruptBatchError(
    Reason.CORRUPT_BATCH,
    "the length field of the batch is invalid; check the broker's disk and network",
)


@dataclass(frozen=True, slots=True)
class GarbledBatch:
    """A garbled batch, and how often it has been read."""

    offset: int  # position of the fetch
    crc: int  # of its bytes
    identical: int = 1  # reads in a row that returned these bytes
    reads: int = 1

    @property
    def is_certain(self) -> bool:
        """Whether reading it again would not help."""
        return self.identical >= IDENTICAL_READS or self.reads >= MAX_READS


def reread(before: GarbledBatch | None, offset: int, crc: int) -> GarbledBatch:
    """Count another garbled read; `before` is the partition's last garbled batch, if any."""
    if before is None or before.offset != offset:
        return GarbledBatch(offset, crc)
    identical = before.identical + 1 if before.crc == crc else 1
    return GarbledBatch(offset, crc, identical, before.reads + 1)


class FetchGuard:
    """Inspects the fetch responses of one consumer, from before it starts.

    The guard checks checksums, so the consumer need not.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        replace_send(client_of(consumer), self._guard)
        self._marker = f"unread-{secrets.token_hex(8)}"  # header key that no publisher can guess
        self._garbled: dict[Partition, GarbledBatch] = {}

    def unreadable(self, record: Any) -> UnreadableBatch | None:
        """Return the batch that a record of the consumer's replaces, or None for other records."""
        return parse_placeholder(record, self._marker)

    def _guard(self, send: Send) -> Send:
        async def guarded(node_id: int, request: Any, **options: Any) -> Any:
            response = await send(node_id, request, **options)
            if isinstance(request, FetchRequest):
                response.topics = await self._inspected(request, response)
            return response

        return guarded

    async def _inspected(self, request: FetchRequest, response: Any) -> list[Any]:
        positions = {
            Partition(topic, number): offset
            for topic, partitions in request.topics
            for number, offset, _ in partitions
        }
        inspection = _FetchInspection(self._garbled, self._marker)
        topics = [
            (topic, [inspection.partition(topic, positions, each) for each in partitions])
            for topic, partitions in response.topics
        ]
        if inspection.is_garbled:
            await asyncio.sleep(REREAD_DELAY_S)
        return topics


class _FetchInspection:
    """Inspects one fetch response."""

    def __init__(self, garbled: dict[Partition, GarbledBatch], marker: str) -> None:
        self.is_garbled = False  # whether a batch has to be read again
        self._garbled, self._marker = garbled, marker
        self._unpacked_bytes = 0

    def partition(self, topic: str, positions: dict[Partition, int], fields: Any) -> Any:
        """Return a partition's fields of the response with readable batches.

        In every version of Kafka's protocol the batches are the last field.
        """
        number, error, log_end, *between, data = fields
        if error or not data:
            return fields
        partition = Partition(topic, number)
        batches = self._batches(partition, positions[partition], log_end, bytes(data))
        return (*fields[:3], *between, batches)

    def _batches(self, partition: Partition, position: int, log_end: int, data: bytes) -> bytes:
        """Return the batches that can be read, or, without any, a placeholder of the first."""
        parts: list[bytes] = []
        for batch in split(data):
            packed = is_packed(batch)
            if packed and self._unpacked_bytes > MAX_UNPACKED_BYTES:
                return b"".join(parts)  # the rest is read again
            try:
                plain = unpacked(batch)
            except WireError as error:
                return b"".join(parts) or self._replace(partition, position, log_end, batch, error)
            self._unpacked_bytes += packed * len(plain)
            parts.append(plain)
        if parts:
            self._garbled.pop(partition, None)
            return b"".join(parts)
        return self._replace(partition, position, log_end, data, _UNFRAMED)

    def _replace(
        self, partition: Partition, position: int, log_end: int, batch: bytes, error: WireError
    ) -> bytes:
        """Return a placeholder, or nothing where the batch is to be read again."""
        if isinstance(error, CorruptBatchError) and not self._is_certain(
            partition, position, batch, error
        ):
            self.is_garbled = True
            return b""
        self._garbled.pop(partition, None)
        missing = missing_range(batch, error, position, log_end)
        return placeholder(batch, missing, error, self._marker)

    def _is_certain(
        self, partition: Partition, position: int, batch: bytes, error: WireError
    ) -> bool:
        """Return whether reading the batch again would not help."""
        garbled = reread(self._garbled.get(partition), position, crc32(batch))
        self._garbled[partition] = garbled
        if garbled.reads == 1:
            where = {"topic": partition.topic, "partition": partition.number, "offset": position}
            log.warning("corrupt batch, reading it again", **where, error=str(error))
        return garbled.is_certain
