"""Looks at what Kafka answers before aiokafka does, so that no batch can stop a partition.

aiokafka 0.14 unpacks batches of any size, and raises for one that it cannot read without saying
where, again and again. So every answer to a fetch passes here: compressed batches are unpacked
within a bound, and one that cannot be read is replaced by a record that says so
(`consumer.kafka.batches`), once reading it again has not helped.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from zlib import crc32

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

from consumer.core.streams.records import UnreadableBatch
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
IDENTICAL_READS: Final = 3  # readings with the same bytes: so it lies in the log
MAX_READS: Final = 10  # whatever they brought

Place: TypeAlias = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class GarbledBatch:
    """A garbled batch, and how often it has been read."""

    offset: int  # at which it was met
    crc: int  # of its bytes
    identical: int = 1  # readings in a row that brought these bytes
    reads: int = 1

    @property
    def is_certain(self) -> bool:
        """Whether reading it again would not help."""
        return self.identical >= IDENTICAL_READS or self.reads >= MAX_READS


def reread(before: GarbledBatch | None, offset: int, crc: int) -> GarbledBatch:
    """What is known once it has been read garbled again; `before`: of the partition."""
    if before is None or before.offset != offset:
        return GarbledBatch(offset, crc)
    alike = before.identical + 1 if before.crc == crc else 1
    return GarbledBatch(offset, crc, alike, before.reads + 1)


class FetchGuard:
    """Over one consumer, from before it starts; the consumer need not check checksums then."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        replace_send(client_of(consumer), self._guard)
        self._mark = f"unread-{secrets.token_hex(8)}"  # a header that no publisher can know
        self._garbled: dict[Place, GarbledBatch] = {}

    def unreadable(self, record: Any) -> UnreadableBatch | None:
        """What a record of the consumer's stands for; None: it is one of the log."""
        return parse_placeholder(record, self._mark)

    def _guard(self, send: Send) -> Send:
        async def guarded(node_id: int, request: Any, **how: Any) -> Any:
            answer = await send(node_id, request, **how)
            if isinstance(request, FetchRequest):
                answer.topics = await self._inspected(request, answer)
            return answer

        return guarded

    async def _inspected(self, request: FetchRequest, answer: Any) -> list[Any]:
        positions = {
            (topic, number): offset
            for topic, partitions in request.topics
            for number, offset, _ in partitions
        }
        look = _FetchInspection(self._garbled, self._mark)
        topics = [
            (topic, [look.partition((topic, each[0]), positions, each) for each in partitions])
            for topic, partitions in answer.topics
        ]
        if look.is_garbled:
            await asyncio.sleep(REREAD_DELAY_S)
        return topics


class _FetchInspection:
    """At one answer."""

    def __init__(self, doubts: dict[Place, GarbledBatch], mark: str) -> None:
        self.is_garbled = False  # something has to be read again
        self._garbled, self._mark = doubts, mark
        self._unpacked_bytes = 0

    def partition(self, place: Place, positions: dict[Place, int], answer: Any) -> Any:
        """Its part of the answer; as Kafka's protocol has it, the batches come last."""
        _, error, log_end, *between, data = answer
        if error or not data:
            return answer
        batches = self._batches(place, positions[place], log_end, bytes(data))
        return (*answer[:3], *between, batches)

    def _batches(self, place: Place, position: int, log_end: int, data: bytes) -> bytes:
        """What can be read; or, where that is nothing, what stands for the first batch."""
        parts: list[bytes] = []
        for batch in split(data):
            packed = is_packed(batch)
            if packed and self._unpacked_bytes > MAX_UNPACKED_BYTES:
                return b"".join(parts)  # the rest is read again
            try:
                plain = unpacked(batch)
            except WireError as error:
                return b"".join(parts) or self._replace(place, position, log_end, batch, error)
            self._unpacked_bytes += packed * len(plain)
            parts.append(plain)
        if parts:
            self._garbled.pop(place, None)
            return b"".join(parts)
        return self._replace(place, position, log_end, data, _UNFRAMED)

    def _replace(
        self, place: Place, position: int, log_end: int, batch: bytes, error: WireError
    ) -> bytes:
        if isinstance(error, CorruptBatchError) and not self._is_certain(
            place, position, batch, error
        ):
            self.is_garbled = True
            return b""
        self._garbled.pop(place, None)
        return placeholder(batch, missing_range(batch, error, position, log_end), error, self._mark)

    def _is_certain(self, place: Place, position: int, batch: bytes, error: WireError) -> bool:
        """Whether reading the batch again would not help."""
        doubt = self._garbled[place] = reread(self._garbled.get(place), position, crc32(batch))
        if doubt.reads == 1:
            topic, number = place
            told = {"topic": topic, "partition": number, "offset": position}
            log.warning("corrupt batch, reading it again", **told, error=str(error))
        return doubt.is_certain


_UNFRAMED: Final = CorruptBatchError(Reason.CORRUPT_BATCH, "its length cannot be true")
