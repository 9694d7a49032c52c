"""The publisher against a real broker, and without one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from zlib import crc32

import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import murmur2

from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from producer.errors import PublishError
from producer.publisher import AudioPublisher
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import decode_audio
from schemas.topics import Topics
from transport.cluster import create_topics

ReadTopic = Callable[[str], Awaitable[list[ConsumerRecord]]]


async def test_chunks_arrive_as_they_were_sent(
    kafka: LocalKafka, topics: Topics, read_topic: ReadTopic
) -> None:
    sent = [
        AudioChunk(f"call-{n % 7}", b"%d" % n, rate=8_000, channels=1, seq=n // 7, end=n >= 693)
        for n in range(700)
    ]
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        for chunk in sent:
            await publisher.send(chunk)
    records = await read_topic(topics.audio)
    for stream_id in {chunk.stream_id for chunk in sent}:
        of_stream = [record for record in records if record.key == stream_id.encode()]
        heard = [decode_audio(record.key, record.value, record.headers) for record in of_stream]
        assert heard == [chunk for chunk in sent if chunk.stream_id == stream_id]
        # As Java clients do it: the sign bit is dropped, not taken off.
        expected = (murmur2(stream_id.encode()) & 0x7FFFFFFF) % 4
        assert {record.partition for record in of_stream} == {expected}


async def test_a_record_may_be_as_large_as_the_wire_allows(
    kafka: LocalKafka, topics: Topics, read_topic: ReadTopic
) -> None:
    payload = bytes(range(256)) * (1 << 12)
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        await publisher.send(AudioChunk("large", payload))
    (record,) = await read_topic(topics.audio)
    assert crc32(record.value) == crc32(payload)


async def test_what_would_be_dead_lettered_is_never_sent(
    kafka: LocalKafka, topics: Topics, read_topic: ReadTopic
) -> None:
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        for wrong, said in [
            (AudioChunk("call 1", b"xx"), "stream"),
            (AudioChunk("call-1", b""), "no audio"),
            (AudioChunk("call-1", b"xx", rate=96_000), "resample"),
            (AudioChunk("call-1", b"xx", options=StreamOptions(endpoint_ms=5)), "endpoint_ms"),
        ]:
            with pytest.raises(ValueError, match=said):
                await publisher.send(wrong)
    assert await read_topic(topics.audio) == []


async def test_flush_waits_for_kafka(
    kafka: LocalKafka, topics: Topics, read_topic: ReadTopic
) -> None:
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        await publisher.send(AudioChunk("call-1", b"xx"))
        await publisher.flush()
        assert len(await read_topic(topics.audio)) == 1


async def test_a_missing_topic_is_named_and_not_created(kafka: LocalKafka, prefix: str) -> None:
    for _ in range(2):
        with pytest.raises(PublishError, match=rf"no topic {prefix}\.audio\.v1: .*topics create"):
            async with AudioPublisher(kafka.bootstrap, Topics(prefix).audio):
                pass


async def test_a_missing_broker_is_named() -> None:
    (port,) = free_ports(1)
    with pytest.raises(PublishError, match=rf"no answer from Kafka at localhost:{port}"):
        async with AudioPublisher(f"localhost:{port}"):
            pass


@pytest.mark.broker
@pytest.mark.parametrize(("fault", "steady"), [(LocalKafka.kill, False), (LocalKafka.pause, True)])
async def test_a_broker_that_is_gone_ends_it_in_bounded_time(
    fault: Callable[[LocalKafka, int], None], caplog: pytest.LogCaptureFixture, *, steady: bool
) -> None:
    async with LocalKafka() as kafka:
        await create_topics(kafka.bootstrap, Topics(), partitions=1)
        tasks = asyncio.all_tasks()

        async def publish() -> None:
            async with AudioPublisher(kafka.bootstrap, delivery_timeout_s=1.0) as publisher:
                await publisher.send(AudioChunk("call-1", b"xx"))
                await publisher.flush()
                fault(kafka, 1)
                await publisher.send(AudioChunk("call-1", b"xx"))
                while steady:  # far less than fills a queue
                    await asyncio.sleep(0.01)
                    await publisher.send(AudioChunk("call-1", b"xx"))

        with pytest.raises(PublishError, match="nothing acknowledged within 1 s"):
            await publish()
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= tasks
        assert [record for record in caplog.records if record.name == "asyncio"] == []
