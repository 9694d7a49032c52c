from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeAlias

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from append_times import next_millisecond

from devstack.kafka import LocalKafka
from devstack.ports import free_ports
from schemas.codec import WireRecord
from schemas.topics import Topics
from schemas.transcript import AnyEvent, StreamWarning
from subscriber.reader import TranscriptReader
from transport.start import Edge
from transport.topic_reader import ReaderError

Send: TypeAlias = Callable[..., Awaitable[None]]


@pytest.fixture
async def admin(kafka: LocalKafka) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    yield admin
    await admin.close()


async def read_messages(events: AsyncIterator[AnyEvent], count: int) -> list[str]:
    async with asyncio.timeout(30):
        return messages([await anext(events) for _ in range(count)])


def messages(events: Sequence[AnyEvent]) -> list[str]:
    return [event.message for event in events if isinstance(event, StreamWarning)]


async def test_from_the_beginning_all_partitions_are_read_in_time_order(
    kafka: LocalKafka, topics: Topics, send: Send
):
    for number in range(4):
        await send(str(number), partition=number % 2)
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING
    ) as reader:
        assert await read_messages(aiter(reader), 4) == ["0", "1", "2", "3"]


async def test_from_now_events_after_entering_are_read(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("before")
    async with TranscriptReader(kafka.bootstrap, topics.transcripts) as reader:
        await send("after")
        assert await read_messages(aiter(reader), 1) == ["after"]


async def test_from_a_time_events_appended_since_are_read(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("old")
    since_ms = await next_millisecond()
    await send("new", partition=1)
    async with TranscriptReader(kafka.bootstrap, topics.transcripts, start=since_ms) as reader:
        await send("newer")
        assert await read_messages(aiter(reader), 2) == ["new", "newer"]


async def test_the_history_ends_at_the_current_end_or_at_a_time(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("old")
    await send("older", partition=1)
    until_ms = await next_millisecond()
    await send("new")
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING
    ) as reader:
        assert messages([event async for event in reader.history(until_ms)]) == ["old", "older"]
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING
    ) as reader:
        assert messages([event async for event in reader.history()]) == ["old", "older", "new"]


async def test_from_a_future_time_new_events_are_read(
    kafka: LocalKafka, topics: Topics, send: Send
):
    await send("old")
    async with TranscriptReader(kafka.bootstrap, topics.transcripts, start=2**50) as reader:
        await send("new")
        assert await read_messages(aiter(reader), 1) == ["new"]


async def test_aborted_events_are_not_read(kafka: LocalKafka, topics: Topics, send: Send):
    await send("aborted", commit=False)
    await send("committed")
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING
    ) as reader:
        assert await read_messages(aiter(reader), 1) == ["committed"]


async def test_only_the_selected_streams_are_read(kafka: LocalKafka, topics: Topics, send: Send):
    for stream_id in ("a", "b", "c"):
        await send(stream_id, stream_id)
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING, streams=["c", "a"]
    ) as reader:
        assert await read_messages(aiter(reader), 2) == ["a", "c"]


async def test_a_record_that_is_no_event_is_skipped_with_a_warning(
    kafka: LocalKafka, topics: Topics, send: Send
):
    warned: list[str] = []
    await send(WireRecord(b"a", b"\x00garbage", []))
    await send("good")
    async with TranscriptReader(
        kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING, warn=warned.append
    ) as reader:
        assert await read_messages(aiter(reader), 1) == ["good"]
    (line,) = warned
    assert f"{topics.transcripts}/0 offset 0: ce_type" in line


async def test_an_added_partition_is_read_from_its_beginning(
    kafka: LocalKafka,
    topics: Topics,
    send: Send,
    admin: AIOKafkaAdminClient,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("transport.topic_reader.METADATA_MAX_AGE_MS", 100)
    async with TranscriptReader(kafka.bootstrap, topics.transcripts) as reader:
        events = aiter(reader)
        await send("old partition")
        assert await read_messages(events, 1) == ["old partition"]
        await admin.create_partitions({topics.transcripts: NewPartitions(5)})
        await send("new partition", partition=4)
        await send("still there")
        assert set(await read_messages(events, 2)) == {"new partition", "still there"}


async def test_deleted_events_are_skipped_with_a_warning(
    kafka: LocalKafka, topics: Topics, send: Send, admin: AIOKafkaAdminClient
):
    warned: list[str] = []
    first = TopicPartition(topics.transcripts, 0)
    await send("deleted")  # offset 0, and 1 is the end of its transaction
    async with TranscriptReader(kafka.bootstrap, topics.transcripts, warn=warned.append) as reader:
        await admin.delete_records({first: RecordsToDelete(before_offset=2)})
        reader._consumer.seek(first, 0)  # as a reader that was suspended meanwhile
        await send("left")
        assert await read_messages(aiter(reader), 1) == ["left"]
    assert warned == [
        f"{topics.transcripts}/0: offsets 0-1 were deleted (retention) before they could be read"
    ]


async def test_two_readers_get_the_same_events(kafka: LocalKafka, topics: Topics, send: Send):
    async with (
        TranscriptReader(kafka.bootstrap, topics.transcripts) as one,
        TranscriptReader(kafka.bootstrap, topics.transcripts) as other,
    ):
        await send("to both")
        assert (
            await read_messages(aiter(one), 1)
            == await read_messages(aiter(other), 1)
            == ["to both"]
        )


async def test_a_missing_topic_is_reported_and_not_created(
    kafka: LocalKafka, prefix: str, admin: AIOKafkaAdminClient
):
    missing = Topics(prefix).transcripts
    with pytest.raises(ReaderError, match=f"no topic {missing}.*streamscribe topics create"):
        async with TranscriptReader(kafka.bootstrap, missing):
            pass
    assert missing not in await admin.list_topics()


async def test_an_absent_broker_is_reported():
    (port,) = free_ports(1)
    with pytest.raises(ReaderError, match=f"no answer from Kafka at 127.0.0.1:{port}"):
        async with TranscriptReader(f"127.0.0.1:{port}"):
            pass
