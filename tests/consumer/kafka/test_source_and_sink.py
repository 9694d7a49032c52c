"""The two shells against a real broker."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from consumer.core.progress import Commit, DeadLetter
from consumer.core.values import Lane, Partition, Poll, Record
from consumer.kafka.sink import KafkaSink
from consumer.kafka.source import KafkaSource, SourceSettings
from devstack.kafka import LocalKafka
from schemas.codec import decode_event
from schemas.topics import Topics
from schemas.transcript import StreamEnded, StreamEndReason

ALL = frozenset(Lane)
ENDED = StreamEnded(
    stream_id="s",
    session_id="0-0",
    index=0,
    time_ms=1_700_000_000_000,
    reason=StreamEndReason.END,
    utterances=0,
    audio_s=0.0,
    speech_s=0.0,
    gaps=0,
)


def settings(kafka: LocalKafka, topics: Topics, *, from_earliest: bool = True) -> SourceSettings:
    lanes = {topics.audio: Lane.LIVE, topics.audio_bulk: Lane.BULK}
    return SourceSettings(kafka.bootstrap, f"{topics.prefix}-group", lanes, from_earliest)


async def publish(kafka: LocalKafka, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=b"s", partition=0)


async def polled(source: KafkaSource, enough: int, lanes: frozenset[Lane] = ALL) -> Poll:
    """Polls until so many records have come, as one; the test's own timeout bounds it."""
    assigned, records = [], []
    while len(records) < enough:
        poll = await source.poll(lanes)
        assigned += poll.assigned
        records += poll.records
    return Poll(assigned=tuple(assigned), records=tuple(records))


def commit(partition: Partition, epoch: int, resume: int, **output: tuple[object, ...]) -> Commit:
    return Commit(
        partition=partition,
        epoch=epoch,
        events=output.get("events", ()),
        dead_letters=output.get("dead_letters", ()),
        next_offset=resume,
        resume_offset=resume,
        taken=(),
    )


async def test_a_new_group_reads_both_topics_from_the_beginning(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio, b"a", b"b")
    await publish(kafka, topics.audio_bulk, b"c")
    async with KafkaSource(settings(kafka, topics)) as source:
        poll = await polled(source, 3)
    assert {r.value for r in poll.records} == {b"a", b"b", b"c"}
    assert len(poll.assigned) == 8
    assert {a.next_offset for a in poll.assigned} == {0}


async def test_a_lane_that_is_not_admitted_is_left_in_kafka(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio_bulk, b"bulk")
    await publish(kafka, topics.audio, b"live")
    async with KafkaSource(settings(kafka, topics)) as source:
        first = await polled(source, 1, frozenset({Lane.LIVE}))
        second = await polled(source, 1)
    assert [r.value for r in first.records] == [b"live"]
    assert [r.value for r in second.records] == [b"bulk"]


async def test_the_next_member_resumes_where_the_last_commit_says(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio, b"0", b"1", b"2")
    async with KafkaSource(settings(kafka, topics)) as source:
        poll = await polled(source, 3)
        partition = Partition(topics.audio, 0)
        (epoch,) = (a.epoch for a in poll.assigned if a.partition == partition)
        await source.store([commit(partition, epoch, 2)])
    async with KafkaSource(settings(kafka, topics)) as source:
        poll = await polled(source, 1)
    assert [r.value for r in poll.records] == [b"2"]


async def test_deleted_records_are_skipped_as_a_new_assignment(
    kafka: LocalKafka, topics: Topics
) -> None:
    await publish(kafka, topics.audio, b"0", b"1", b"2")
    partition = Partition(topics.audio, 0)
    async with KafkaSource(settings(kafka, topics)) as source:
        poll = await polled(source, 3)
        (epoch,) = (a.epoch for a in poll.assigned if a.partition == partition)
        await source.store([commit(partition, epoch, 0)])
    await delete_before(kafka, topics.audio, 2)
    async with KafkaSource(settings(kafka, topics)) as source:
        poll = await polled(source, 1)
    assert [r.value for r in poll.records] == [b"2"]
    assert [a.next_offset for a in poll.assigned if a.partition == partition] == [0, 2]


async def delete_before(kafka: LocalKafka, topic: str, offset: int) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(offset)})
    finally:
        await admin.close()


async def test_output_goes_to_the_input_partitions_number_before_progress(
    kafka: LocalKafka, topics: Topics
) -> None:
    partition = Partition(topics.audio, 3)
    letter = DeadLetter(
        Record(partition, 7, 99, b"key", b"value", (("codec", b"what"),)), "unknown_codec", "why"
    )
    stored: list[Commit] = []

    class Owner:
        def owns(self, commit: Commit) -> bool:
            return commit.epoch == 1

        async def store(self, commits: list[Commit]) -> None:
            stored.extend(commits)

    mine = commit(partition, 1, 8, events=(ENDED,), dead_letters=(letter,))
    other = commit(partition, 2, 8, events=(ENDED,))
    async with KafkaSink(kafka.bootstrap, topics, Owner(), "worker:1") as sink:
        assert await sink.commit([mine, other]) == [mine]
    assert stored == [mine]
    (event,) = await read(kafka, topics.transcripts, 3)
    assert decode_event(event.headers, event.value) == ENDED
    (dead,) = await read(kafka, topics.audio_dlq, 3)
    assert (dead.key, dead.value) == (b"key", b"value")
    assert dict(dead.headers) == {
        "codec": b"what",
        "dlq.reason": b"unknown_codec",
        "dlq.message": b"why",
        "dlq.topic": topics.audio.encode(),
        "dlq.partition": b"3",
        "dlq.offset": b"7",
        "dlq.timestamp": b"99",
        "dlq.worker": b"worker:1",
    }


async def read(kafka: LocalKafka, topic: str, partition: int) -> list[object]:
    """All records of one partition."""
    tp = TopicPartition(topic, partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, isolation_level="read_committed"
    ) as consumer:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        records: list[object] = []
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=500)
            records += batches.get(tp, [])
        return records
