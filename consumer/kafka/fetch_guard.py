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
    GarbledError,
    is_packed,
    missing,
    readable,
    stand_in,
    unread,
    whole,
)
from schemas.errors import Reason, WireError
from transport.compat import Send, client_of, replace_send

log = structlog.get_logger(__name__)

REST_S: Final = 0.5  # before a garbled batch is read again
ALIKE: Final = 3  # readings with the same bytes: so it lies in the log
READINGS: Final = 10  # whatever they brought

Place: TypeAlias = tuple[str, int]  # topic, partition


@dataclass(frozen=True, slots=True)
class Doubt:
    """A garbled batch, and how often it has been read."""

    offset: int  # at which it was met
    crc: int  # of its bytes
    alike: int = 1  # readings in a row that brought these bytes
    readings: int = 1

    @property
    def is_certain(self) -> bool:
        """Whether reading it again would not help."""
        return self.alike >= ALIKE or self.readings >= READINGS


def doubted(before: Doubt | None, offset: int, crc: int) -> Doubt:
    """What is known once it has been read garbled again; `before`: of the partition."""
    if before is None or before.offset != offset:
        return Doubt(offset, crc)
    alike = before.alike + 1 if before.crc == crc else 1
    return Doubt(offset, crc, alike, before.readings + 1)


class FetchGuard:
    """Over one consumer, from before it starts; the consumer need not check checksums then."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        replace_send(client_of(consumer), self._guard)
        self._mark = f"unread-{secrets.token_hex(8)}"  # a header that no publisher can know
        self._doubts: dict[Place, Doubt] = {}

    def unread(self, record: Any) -> UnreadableBatch | None:
        """What a record of the consumer's stands for; None: it is one of the log."""
        return unread(record, self._mark)

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
        look = _Look(self._doubts, self._mark)
        topics = [
            (topic, [look.partition((topic, each[0]), positions, each) for each in partitions])
            for topic, partitions in answer.topics
        ]
        if look.is_garbled:
            await asyncio.sleep(REST_S)
        return topics


class _Look:
    """At one answer."""

    def __init__(self, doubts: dict[Place, Doubt], mark: str) -> None:
        self.is_garbled = False  # something has to be read again
        self._doubts, self._mark = doubts, mark
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
        for batch in whole(data):
            packed = is_packed(batch)
            if packed and self._unpacked_bytes > MAX_UNPACKED_BYTES:
                return b"".join(parts)  # the rest is read again
            try:
                plain = readable(batch)
            except WireError as error:
                return b"".join(parts) or self._doubt(place, position, log_end, batch, error)
            self._unpacked_bytes += packed * len(plain)
            parts.append(plain)
        if parts:
            self._doubts.pop(place, None)
            return b"".join(parts)
        return self._doubt(place, position, log_end, data, _UNFRAMED)

    def _doubt(
        self, place: Place, position: int, log_end: int, batch: bytes, error: WireError
    ) -> bytes:
        if isinstance(error, GarbledError) and not self._is_certain(place, position, batch, error):
            self.is_garbled = True
            return b""
        self._doubts.pop(place, None)
        return stand_in(batch, missing(batch, error, position, log_end), error, self._mark)

    def _is_certain(self, place: Place, position: int, batch: bytes, error: WireError) -> bool:
        """Whether reading the batch again would not help."""
        doubt = self._doubts[place] = doubted(self._doubts.get(place), position, crc32(batch))
        if doubt.readings == 1:
            topic, number = place
            told = {"topic": topic, "partition": number, "offset": position}
            log.warning("a batch came garbled, it is read again", **told, why=str(error))
        return doubt.is_certain


_UNFRAMED: Final = GarbledError(Reason.CORRUPT_BATCH, "its length cannot be true")
