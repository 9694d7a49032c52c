"""Output and progress in one transaction, on a real broker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.robustness.stage_faults import FaultStage, raising
from consumer.core.partition.commit import Commit
from consumer.core.partition.faults import StreamFault
from consumer.core.partition.state import GroupOffset, Halt, PartitionState, Tally
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.records import Partition, Record
from consumer.core.streams.state import StreamState
from consumer.errors import Fenced
from consumer.kafka.state_reader import read_states
from consumer.kafka.store import KafkaStore
from consumer.kafka.transaction import Output, TransactionalProducer
from devstack.kafka import LocalKafka
from schemas.codec import decode_event
from schemas.topics import Topics
from schemas.transcript import StreamEnded, StreamEndReason
from transport.credentials import Credentials
from transport.security import Security

CREDENTIALS = Credentials(Security())

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
STATE = PartitionState(8, 7, 50, clean=False, tally=Tally(accepted=8))
STREAM = StreamState(7, 8, 40, None, None)


class Info:
    """Owns every partition; the log holds [2, 9)."""

    def __init__(self) -> None:
        self.is_ours = True

    def owns(self, partition: Partition) -> bool:
        return self.is_ours

    async def group_offset(self, partition: Partition) -> GroupOffset | None:
        return GroupOffset(5)

    async def offset_range(self, partition: Partition) -> tuple[int, int]:
        return 2, 9


def store(
    kafka: LocalKafka, topics: Topics, owner: Info | None = None, group: str = ""
) -> KafkaStore:
    group = group or f"{topics.prefix}-group"
    owner = owner or Info()
    return KafkaStore(kafka.bootstrap, CREDENTIALS, topics, group, owner, "worker:1")


def commit(partition: Partition, **more: object) -> Commit:
    made = Commit(
        partition=partition,
        epoch=1,
        events=(ENDED,),
        dead_letters=(),
        state=STATE,
        streams=(("s", STREAM), ("gone", STREAM)),
        published=(),
        dead_letter_count=0,
        attempts=(),
    )
    return replace(made, **more)


async def read(kafka: LocalKafka, topic: str, partition: int) -> list[Any]:
    """Return all committed records of one partition."""
    tp = TopicPartition(topic, partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, isolation_level="read_committed"
    ) as consumer:
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end = (await consumer.end_offsets([tp]))[tp]
        records: list[Any] = []
        while await consumer.position(tp) < end:
            batches = await consumer.getmany(tp, timeout_ms=500)
            records += batches.get(tp, [])
        return records


async def test_the_next_owner_finds_what_was_committed(kafka: LocalKafka, topics: Topics) -> None:
    live, bulk = Partition(topics.audio, 3), Partition(topics.audio_bulk, 3)
    first = await store(kafka, topics).open(live)
    assert (first.found.partition, first.found.streams) == (None, {})
    assert (first.found.group_offset, first.found.log_start, first.found.log_end) == (
        GroupOffset(5),
        2,
        9,
    )
    await first.commit(commit(live))
    await first.commit(commit(live, streams=(("gone", None),), events=()))
    await first.close()
    second = await store(kafka, topics).open(live)
    assert second.found.partition == STATE
    assert second.found.streams == {"s": STREAM}
    await second.close()
    for other in (
        store(kafka, topics).open(bulk),
        store(kafka, topics, group="another").open(live),
    ):
        journal = await other
        assert (journal.found.partition, journal.found.streams) == (None, {})
        await journal.close()
    assert [decode_event(r.headers, r.value) for r in await read(kafka, topics.transcripts, 3)] == [
        ENDED
    ]


async def test_state_is_read_through_the_open_marker(kafka: LocalKafka, topics: Topics) -> None:
    live = Partition(topics.audio, 3)
    journal = await store(kafka, topics).open(live)
    mark = (await read(kafka, topics.state, 3))[-1]
    assert (mark.key, mark.value) == (f"O|{topics.prefix}-group|{live.topic}".encode(), b"worker:1")
    await journal.commit(commit(live))
    states = asyncio.create_task(
        read_states(kafka.bootstrap, CREDENTIALS, topics.state, 3, through=mark.offset + 6)
    )  # as if a broker reported an earlier end of the log
    await journal.commit(commit(live, streams=(("late", STREAM),)))
    assert any(key is not None and key.endswith(b"|late") for key, _ in await states)
    await journal.close()


async def test_opening_a_partition_fences_the_previous_owner(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 0)
    first = await store(kafka, topics).open(live)
    await first.commit(commit(live))
    second = await store(kafka, topics).open(live)
    with pytest.raises(Fenced):
        await first.commit(commit(live, state=replace(STATE, next_offset=100)))
    await first.close()
    await second.commit(commit(live, state=replace(STATE, next_offset=9)))
    await second.close()
    third = await store(kafka, topics).open(live)
    assert third.found.partition == replace(STATE, next_offset=9)
    await third.close()
    assert len(await read(kafka, topics.transcripts, 0)) == 2


async def test_records_of_an_uncommitted_transaction_are_never_visible(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 0)
    name = f"stt.{topics.prefix}-group.{live.topic}.0"
    producer = TransactionalProducer(kafka.bootstrap, CREDENTIALS, name)
    await producer.start()
    await producer._producer.begin_transaction()
    output = Output(topics.transcripts, 0, b"s", b"torn")
    await (await producer._send(output))
    await producer.close()  # without ending the transaction
    journal = await store(kafka, topics).open(live)
    await journal.commit(commit(live))
    await journal.close()
    assert [r.value == b"torn" for r in await read(kafka, topics.transcripts, 0)] == [False]


async def test_an_event_that_cannot_be_written_is_a_fault_of_its_stream(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 0)
    journal = await store(kafka, topics).open(live)
    with raising(FaultStage.EVENT, lambda name: name == "s"), pytest.raises(StreamFault) as fault:
        await journal.commit(commit(live))
    assert (fault.value.stream_id, fault.value.next_offset) == ("s", 8)
    await journal.close()
    assert await read(kafka, topics.transcripts, 0) == []


async def test_a_partition_of_another_worker_is_not_opened(
    kafka: LocalKafka, topics: Topics
) -> None:
    live, owner = Partition(topics.audio, 0), Info()
    journal = await store(kafka, topics).open(live)
    owner.is_ours = False
    with pytest.raises(Fenced):
        await store(kafka, topics, owner).open(live)
    await journal.commit(commit(live))  # the owner was not fenced
    await journal.close()


async def test_state_of_a_newer_version_halts_the_partition(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 0)
    producer = TransactionalProducer(kafka.bootstrap, CREDENTIALS, "another")
    await producer.start()
    key = f"P|{topics.prefix}-group|{live.topic}".encode()
    await producer.write([Output(topics.state, 0, key, b'{"v": 99, "state": {}}')])
    await producer.close()
    with pytest.raises(Halt, match="is of version 99"):
        await store(kafka, topics).open(live)


async def test_a_dead_letter_is_the_original_record_with_its_reason(
    kafka: LocalKafka, topics: Topics
) -> None:
    live = Partition(topics.audio, 3)
    record = Record(live, 7, 99, b"key", b"value", (("codec", b"what"),))
    letter = DeadLetter(record, "unknown_codec", "why")
    journal = await store(kafka, topics).open(live)
    await journal.commit(commit(live, dead_letters=(letter,)))
    await journal.close()
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
