from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from aiokafka import AIOKafkaProducer

from devstack.kafka import LocalKafka
from schemas.codec import WireRecord, encode_event
from schemas.topics import Topics
from schemas.transcript import StreamWarning

Send: TypeAlias = Callable[..., Awaitable[None]]


def warning(message: str, stream_id: str = "a") -> StreamWarning:
    """Return the smallest event."""
    return StreamWarning(
        stream_id=stream_id, session_id="0-0", index=0, time_ms=1_783_504_867_000, message=message
    )


@pytest.fixture
async def send(kafka: LocalKafka, topics: Topics) -> AsyncIterator[Send]:
    """Return a function that publishes an event in a transaction, as a worker does."""

    async def send(
        message: str | WireRecord,
        stream_id: str = "a",
        *,
        partition: int = 0,
        commit: bool = True,
    ) -> None:
        record = encode_event(warning(message, stream_id)) if isinstance(message, str) else message
        while partition not in await producer.partitions_for(topics.transcripts):
            await producer.client.force_metadata_update()
        await producer.begin_transaction()
        await producer.send_and_wait(
            topics.transcripts,
            record.value,
            record.key,
            partition=partition,
            headers=record.headers,
        )
        await (producer.commit_transaction() if commit else producer.abort_transaction())

    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=topics.transcripts
    )
    async with producer:
        yield send
