"""The publisher against a real broker, and without one."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from functools import partial
from zlib import crc32

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import murmur2
from topic_records import read_topic

from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from producer.errors import PublishError
from producer.publisher import AudioPublisher
from schemas.audio import AudioChunk, StreamOptions
from schemas.codec import decode_audio
from schemas.topics import Topics
from transport.cluster import create_topics


async def test_chunks_are_stored_in_order_in_the_partition_of_their_stream(
    kafka: LocalKafka, topics: Topics
) -> None:
    sent = [
        AudioChunk(f"call-{n % 7}", b"%d" % n, rate=8_000, channels=1, seq=n // 7, end=n >= 693)
        for n in range(700)
    ]
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        for chunk in sent:
            await publisher.send(chunk)
    records = await read_topic(kafka.bootstrap, topics.audio)
    for stream_id in {chunk.stream_id for chunk in sent}:
        of_stream = [record for record in records if record.key == stream_id.encode()]
        received = [decode_audio(record.key, record.value, record.headers) for record in of_stream]
        assert received == [chunk for chunk in sent if chunk.stream_id == stream_id]
        # As in Java clients: the sign bit is masked, the value is not negated.
        expected = (murmur2(stream_id.encode()) & 0x7FFFFFFF) % 4
        assert {record.partition for record in of_stream} == {expected}


async def test_a_record_of_the_maximum_size_is_stored(kafka: LocalKafka, topics: Topics) -> None:
    payload = bytes(range(256)) * (1 << 12)
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        await publisher.send(AudioChunk("large", payload))
    (record,) = await read_topic(kafka.bootstrap, topics.audio)
    assert crc32(record.value) == crc32(payload)


async def test_a_chunk_that_the_worker_would_reject_is_not_sent(
    kafka: LocalKafka, topics: Topics
) -> None:
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        for wrong, message in [
            (AudioChunk("call 1", b"xx"), "stream"),
            (AudioChunk("call-1", b""), "no audio"),
            (AudioChunk("call-1", b"xx", rate=96_000), "resample"),
            (AudioChunk("call-1", b"xx", options=StreamOptions(endpoint_ms=5)), "endpoint_ms"),
        ]:
            with pytest.raises(ValueError, match=message):
                await publisher.send(wrong)
    assert await read_topic(kafka.bootstrap, topics.audio) == []


async def test_flush_waits_for_acknowledgements(kafka: LocalKafka, topics: Topics) -> None:
    async with AudioPublisher(kafka.bootstrap, topics.audio) as publisher:
        await publisher.send(AudioChunk("call-1", b"xx"))
        await publisher.flush()
        assert len(await read_topic(kafka.bootstrap, topics.audio)) == 1


async def test_a_missing_topic_is_reported_and_not_created(kafka: LocalKafka, prefix: str) -> None:
    for _ in range(2):
        with pytest.raises(PublishError, match=rf"no topic {prefix}\.audio\.v1: .*topics create"):
            async with AudioPublisher(kafka.bootstrap, Topics(prefix).audio):
                pass


async def test_an_absent_broker_is_reported() -> None:
    (port,) = free_ports(1)
    with pytest.raises(PublishError, match=rf"no answer from Kafka at localhost:{port}"):
        async with AudioPublisher(f"localhost:{port}"):
            pass


async def publish_and_fail(
    bootstrap: str, topic: str, fault: Callable[[], None], *, keeps_sending: bool
) -> None:
    """Publish, cause the fault, publish again; check the error and that no task is left."""
    tasks = asyncio.all_tasks()

    async def publish() -> None:
        async with AudioPublisher(bootstrap, topic, delivery_timeout_s=1.0) as publisher:
            await publisher.send(AudioChunk("call-1", b"xx"))
            await publisher.flush()
            fault()
            await publisher.send(AudioChunk("call-1", b"xx"))
            while keeps_sending:  # too little to fill a queue
                await asyncio.sleep(0.01)
                await publisher.send(AudioChunk("call-1", b"xx"))

    with pytest.raises(PublishError, match="no record acknowledged within 1 s"):
        await publish()
    gc.collect()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= tasks


def asyncio_records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.broker
async def test_a_killed_broker_is_an_error_within_the_delivery_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with LocalKafka() as kafka:
        await create_topics(kafka.bootstrap, Topics(), partitions=1)
        fault = partial(kafka.kill, 1)
        await publish_and_fail(kafka.bootstrap, Topics().audio, fault, keeps_sending=False)
        assert asyncio_records(caplog) == []


async def test_a_paused_broker_is_an_error_within_the_delivery_timeout(
    kafka: LocalKafka, topics: Topics, caplog: pytest.LogCaptureFixture
) -> None:
    fault = partial(kafka.pause, 1)
    try:
        await publish_and_fail(kafka.bootstrap, topics.audio, fault, keeps_sending=True)
    finally:
        kafka.resume(1)
    assert asyncio_records(caplog) == []


async def test_a_publisher_that_has_failed_remains_so(
    kafka: LocalKafka, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise KafkaTimeoutError

    publisher = AudioPublisher(kafka.bootstrap, topics.audio)
    chunk = AudioChunk("call-1", b"xx")
    with pytest.raises(PublishError, match="no record acknowledged"):  # noqa: PT012
        async with publisher:
            monkeypatch.setattr(publisher._producer, "send", full)
            with pytest.raises(PublishError, match="no record acknowledged"):
                await publisher.send(chunk)
            await publisher.flush()
