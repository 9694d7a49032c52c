"""Read the committed records of one partition of the state topic, up to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.errors import Retriable
from consumer.kafka.errors import translate_errors
from transport.credentials import Credentials

READ_S: Final = 60.0  # an open transaction of another group in the partition delays the read
_POLL_MS: Final = 200

KeyValue: TypeAlias = tuple[bytes | None, bytes | None]  # key and value of a record


async def read_states(
    bootstrap: str, credentials: Credentials, topic: str, number: int, *, through: int = -1
) -> list[KeyValue]:
    """Return the committed records of the partition, at least through the offset `through`.

    Without that offset the newest records may be missing: a broker that was paused takes itself
    for the leader for a moment longer and reports an outdated end of the log. Raises `Retriable`,
    `ConfigError`.
    """
    tp = TopicPartition(topic, number)
    try:
        with translate_errors("reading the state topic"):
            async with asyncio.timeout(READ_S), _reader(bootstrap, credentials) as reader:
                return await _read(reader, tp, through)
    except TimeoutError as error:
        raise Retriable(
            f"{tp.topic} {tp.partition} could not be read to its end within {READ_S:.0f} s; "
            "a transaction in it may be open"
        ) from error


async def _read(reader: AIOKafkaConsumer, tp: TopicPartition, through: int) -> list[KeyValue]:
    reader.assign([tp])
    begin, end = await offset_range(reader, tp)
    reader.seek(tp, begin)
    return await _read_to(reader, tp, max(end, through + 1))


@asynccontextmanager
async def _reader(bootstrap: str, credentials: Credentials) -> AsyncIterator[AIOKafkaConsumer]:
    """Start a consumer outside any group that skips aborted and undecided transactions."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        **credentials.arguments,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
    )
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()


async def _read_to(reader: AIOKafkaConsumer, tp: TopicPartition, end: int) -> list[KeyValue]:
    records: list[KeyValue] = []
    while await reader.position(tp) < end:
        batches = await reader.getmany(tp, timeout_ms=_POLL_MS)
        records += [(record.key, record.value) for record in batches.get(tp, ())]
    return records


async def offset_range(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """Return the first offset in the log and the one after the last, undecided records included."""
    begins = await consumer.beginning_offsets([tp])
    ends = await consumer.end_offsets([tp])
    return begins[tp], ends[tp]
