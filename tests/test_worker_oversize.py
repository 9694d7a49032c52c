"""A worker and a real broker that accepts records far above the wire's limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from admin.dead_letters import ReceivedDeadLetter, dead_letter
from bench.robustness.chaos.oracle import Oracle, OracleMode
from consumer.service import Factories, serve
from consumer.settings import from_environment
from devstack.kafka import LocalKafka
from schemas.errors import Reason
from schemas.topics import Topics
from transport.cluster import create_topics

MEBIBYTE = 1 << 20
SILENCE = bytes(3_200)  # 100 ms
HUGE = [("h", b"v" * MEBIBYTE)]
MANY = [(f"h{n}", b"v" * 1024) for n in range(1024)]


@asynccontextmanager
async def worker(kafka: LocalKafka, topics: Topics) -> AsyncIterator[None]:
    """Run a worker in this process, with the chaos bench's engine in place of Whisper."""
    stop, ready = asyncio.Event(), asyncio.Event()
    settings = from_environment(
        {},
        bootstrap=kafka.bootstrap,
        prefix=topics.prefix,
        group=topics.prefix,
        http_port="0",
        detector="webrtc",
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(
            serve(settings, stop, ready, Factories(transcriber=lambda _: Oracle(OracleMode())))
        )
        yield
        stop.set()


async def read(kafka: LocalKafka, topic: str, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 * MEBIBYTE,
    )
    async with consumer:
        return [await consumer.getone() for _ in range(count)]


@pytest.mark.parametrize(
    ("key", "headers", "reason"),
    [
        (b"huge", HUGE, Reason.HEADERS_TOO_LARGE),
        (b"many", MANY, Reason.TOO_MANY_HEADERS),
        (b"k" * MEBIBYTE, [], Reason.BAD_STREAM_ID),
    ],
    ids=["huge header", "many headers", "huge key"],
)
async def test_an_oversized_record_becomes_a_dead_letter_and_later_records_are_read(
    kafka: LocalKafka,
    prefix: str,
    key: bytes,
    headers: list[tuple[str, bytes]],
    reason: Reason,
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=4 * MEBIBYTE)
    async with asyncio.timeout(60), producer, worker(kafka, topics):
        await producer.send_and_wait(topics.audio, SILENCE, key, headers=headers)
        await producer.send_and_wait(topics.audio, SILENCE, b"valid", headers=[("end", b"1")])
        events = await read(kafka, topics.transcripts, 2)
        (record,) = await read(kafka, topics.audio_dlq, 1)
    assert [event.key for event in events] == [b"valid"] * 2
    letter: ReceivedDeadLetter = dead_letter(record)
    assert (letter.reason, letter.details["offset"]) == (reason, "0")
    assert (letter.key, list(letter.headers), letter.value) == (key, headers, SILENCE)
    assert len(letter.details["message"]) < 1_000
