"""A member of a consumer group, on a real broker."""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from consumer.core.partition.state import GroupOffset
from consumer.core.streams.records import Lane, Partition
from consumer.kafka.source import KafkaSource, SourceSettings
from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport.credentials import Credentials
from transport.security import Security

CREDENTIALS = Credentials(Security())
ALL = frozenset(Lane)


def settings(kafka: LocalKafka, topics: Topics) -> SourceSettings:
    lanes = {topics.audio: Lane.LIVE, topics.audio_bulk: Lane.BULK}
    return SourceSettings(kafka.bootstrap, f"{topics.prefix}-group", lanes)


async def publish(kafka: LocalKafka, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"s", partition=0)


async def assigned(source: KafkaSource) -> dict[Partition, Lane]:
    """Wait for the next assignment; the test's own timeout bounds it."""
    while (poll := await source.poll(ALL)).assigned is None:
        pass
    return dict(poll.assigned)


async def joined(source: KafkaSource, **offsets: int) -> None:
    """Wait for the first assignment, and seek in partition 0 of some topics."""
    await assigned(source)
    for topic, offset in offsets.items():
        source.seek(Partition(topic, 0), offset)


async def values(
    source: KafkaSource, enough: int, lanes: frozenset[Lane] = ALL
) -> list[bytes | None]:
    read: list[bytes | None] = []
    while len(read) < enough:
        read += [record.value for record in (await source.poll(lanes)).records]
    return read


async def test_a_partition_is_read_only_after_a_seek(kafka: LocalKafka, topics: Topics) -> None:
    await publish(kafka, topics.audio, b"0", b"1", b"2")
    await publish(kafka, topics.audio_bulk, b"bulk")
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        ours = await assigned(source)
        assert len(ours) == 8
        assert ours[Partition(topics.audio_bulk, 0)] is Lane.BULK
        assert (await source.poll(ALL)).records == ()
        source.seek(Partition(topics.audio, 0), 1)
        assert await values(source, 2) == [b"1", b"2"]


async def test_a_partition_can_be_read_again_and_paused(kafka: LocalKafka, topics: Topics) -> None:
    await publish(kafka, topics.audio, b"0", b"1", b"2")
    live = Partition(topics.audio, 0)
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        await joined(source, **{topics.audio: 0})
        assert await values(source, 3) == [b"0", b"1", b"2"]
        source.seek(live, 2)
        assert await values(source, 1) == [b"2"]
        source.pause(live)
        await publish(kafka, topics.audio, b"3")
        assert (await source.poll(ALL)).records == ()
        source.seek(live, 3)
        assert await values(source, 1) == [b"3"]


async def test_a_lane_that_is_not_polled_is_left_in_kafka(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio_bulk, b"bulk")
    await publish(kafka, topics.audio, b"live")
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        await joined(source, **{topics.audio: 0, topics.audio_bulk: 0})
        assert await values(source, 1, frozenset({Lane.LIVE})) == [b"live"]
        assert await values(source, 1) == [b"bulk"]


async def test_offsets_deleted_before_they_are_read_are_reported(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio, b"0", b"1", b"2")
    await delete_before(kafka, topics.audio, 2)
    live = Partition(topics.audio, 0)
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        await joined(source, **{topics.audio: 0})
        while not (poll := await source.poll(ALL)).out_of_range:
            assert poll.records == ()
        assert poll.out_of_range == (live,)
        assert await source.offset_range(live) == (2, 3)


async def test_a_new_member_takes_its_share_and_kept_partitions_need_another_seek(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio, b"0")
    live = Partition(topics.audio, 0)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(KafkaSource(settings(kafka, topics), CREDENTIALS))
        await joined(first, **{topics.audio: 0})
        await values(first, 1)
        second = await stack.enter_async_context(KafkaSource(settings(kafka, topics), CREDENTIALS))
        kept, given = await assigned(first), await assigned(second)
        assert (len(kept), len(given)) == (4, 4)
        assert not kept.keys() & given.keys()
        owner, other = (first, second) if live in kept else (second, first)
        assert owner.owns(live)
        assert not other.owns(live)
        owner.seek(live, 0)
        other.seek(live, 0)
        assert await values(owner, 1) == [b"0"]
        assert (await other.poll(ALL)).records == ()


async def test_the_offsets_of_the_group_are_stored(kafka: LocalKafka, topics: Topics) -> None:
    live = Partition(topics.audio, 0)
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        await assigned(source)
        assert await source.group_offset(live) is None
        await source.commit_offsets({live: 7, Partition("another", 0): 1})
        assert await source.group_offset(live) == GroupOffset(7, by_worker=True)


async def test_an_offset_set_by_an_operator_is_recognised(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 0)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=settings(kafka, topics).group
    ) as by_hand:
        by_hand.assign([TopicPartition(*live)])
        await by_hand.commit({TopicPartition(*live): 3})
    async with KafkaSource(settings(kafka, topics), CREDENTIALS) as source:
        await assigned(source)
        assert await source.group_offset(live) == GroupOffset(3, by_worker=False)


async def delete_before(kafka: LocalKafka, topic: str, offset: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(offset)})
    finally:
        await admin.close()
