"""Who reads along: every topic from its beginning, whatever happens to the brokers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from bench.chaos.evidence import Dead, Seen, Sent
from bench.chaos.takes import HEADER, Label
from schemas.codec import decode_event

_POLL_MS: Final = 200
_RETRY_S: Final = 0.2
_REQUEST_MS: Final = 10_000

Take = Callable[[Any, float], None]  # a record, and when it was seen


class Book:
    """What the readers that run all along have seen."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.seen: list[Seen] = []
        self.dead: list[Dead] = []
        self.read: Counter[int] = Counter()  # next offset of the audio, by partition

    def audio(self, record: Any, now: float) -> None:
        label = Label.decode(dict(record.headers)[HEADER])
        self.sent.append(Sent(record.partition, record.offset, now, label))
        self.read[record.partition] = record.offset + 1

    def event(self, record: Any, now: float) -> None:
        self.seen.append(seen(record, now))

    def letter(self, record: Any, _: float) -> None:
        told = {name: value.decode() for name, value in record.headers if name.startswith("dlq.")}
        place = int(told["dlq.partition"]), int(told["dlq.offset"])
        self.dead.append(Dead(*place, told["dlq.reason"]))


def seen(record: Any, now: float) -> Seen:
    event = decode_event(record.headers, record.value)
    return Seen(record.partition, record.offset, now, event)


async def follow(bootstrap: str, topic: str, take: Take) -> None:
    """Hand over every committed record, until cancelled."""
    async with _reader(bootstrap, topic) as reader:
        while True:
            await _fetch(reader, take)


async def read_all(bootstrap: str, topic: str, take: Take) -> None:
    """Hand over every committed record there is now."""
    async with _reader(bootstrap, topic) as reader:
        ends = await reader.end_offsets(reader.assignment())
        while [tp for tp, end in ends.items() if await reader.position(tp) < end]:
            await _fetch(reader, take)


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """The log's end of every partition."""
    async with _reader(bootstrap, topic) as reader:
        found = await reader.end_offsets(reader.assignment())
        return {tp.partition: end for tp, end in found.items()}


async def _fetch(reader: AIOKafkaConsumer, take: Take) -> None:
    try:
        batches = await reader.getmany(timeout_ms=_POLL_MS)
    except KafkaError:
        await asyncio.sleep(_RETRY_S)
        return
    now = asyncio.get_running_loop().time()
    for record in (record for records in batches.values() for record in records):
        take(record, now)


@asynccontextmanager
async def _reader(bootstrap: str, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Of all partitions, from the first record of each."""
    reader = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="none",
        request_timeout_ms=_REQUEST_MS,
    )
    try:
        await reader.start()
        for partition, offset in (await reader.beginning_offsets(reader.assignment())).items():
            reader.seek(partition, offset)
        yield reader
    finally:
        await reader.stop()
