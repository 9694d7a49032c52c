from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from builders import PARTITION
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.partition.step import DecodedRecord, IncomingRecord, RejectedRecord
from consumer.core.streams.records import Record
from consumer.decode_window import AHEAD, MAX_BYTES, MAX_RECORDS, DecodeWindow
from schemas.errors import Reason


def raw(offset: int, stream: str = "known", value: bytes = b"raw") -> Record:
    return Record(PARTITION, offset, offset, stream.encode(), value, ())


def container(offset: int, stream: str = "known") -> Record:
    return raw(offset, stream, b"container")


class Codecs:
    """Containers are decoded when `finish` says so."""

    def __init__(self) -> None:
        self.asked: dict[int, asyncio.Future[DecodedRecord]] = {}

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        return None if record.value == b"container" else DecodedRecord(record, ())

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        return await self.asked.setdefault(record.offset, asyncio.Future())

    async def finish(self, record: Record) -> None:
        await asyncio.sleep(0)
        self.asked.pop(record.offset).set_result(DecodedRecord(record, ()))
        for _ in range(3):
            await asyncio.sleep(0)


class Admission:
    """Streams become known as their records are taken in; some are never admitted."""

    def __init__(self) -> None:
        self.known = {"known"}

    def is_known(self, record: Record) -> bool:
        return (record.key or b"").decode() in self.known

    def admit(self, record: Record) -> RejectedRecord | None:
        if record.key == b"flood":
            return RejectedRecord(record, Reason.TOO_MANY_STREAMS)
        return None

    def take_in(self, taken: list[IncomingRecord]) -> None:
        for each in taken:
            if isinstance(each, DecodedRecord):
                self.known.add((each.record.key or b"").decode())


class Harness:
    def __init__(self) -> None:
        self.codecs = Codecs()
        self.admission = Admission()
        self.decoded = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.window = DecodeWindow(self.codecs, self._spawn, self._count)

    def take_all(self) -> list[IncomingRecord]:
        """Take as the pipeline does, until nothing more can be taken."""
        taken: list[IncomingRecord] = []
        while more := self.window.take(self.admission):
            self.admission.take_in(more)
            taken += more
        return taken

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.append(asyncio.get_running_loop().create_task(work))
        return self._tasks[-1]

    def _count(self) -> None:
        self.decoded += 1


def offsets(taken: list[IncomingRecord]) -> list[int]:
    return [each.record.offset for each in taken if not hasattr(each, "last_offset")]


async def test_raw_audio_is_there_at_once() -> None:
    harness = Harness()
    assert harness.window.push(raw(n) for n in range(5)) is None
    assert offsets(harness.take_all()) == [0, 1, 2, 3, 4]
    assert harness.window.is_empty


async def test_a_record_leaves_only_when_all_before_it_have() -> None:
    harness = Harness()
    records = [raw(0), container(1), raw(2), container(3)]
    harness.window.push(records)
    assert offsets(harness.take_all()) == [0]
    await harness.codecs.finish(records[1])
    assert harness.decoded == 1
    assert offsets(harness.take_all()) == [1, 2]
    await asyncio.sleep(0)
    await harness.codecs.finish(records[3])
    assert offsets(harness.take_all()) == [3]


async def test_containers_of_known_streams_are_decoded_ahead() -> None:
    harness = Harness()
    records = [container(n) for n in range(5)]
    harness.window.push(records)
    assert harness.take_all() == []
    await asyncio.sleep(0)
    assert sorted(harness.codecs.asked) == list(range(AHEAD))
    await harness.codecs.finish(records[1])
    assert harness.take_all() == []
    await harness.codecs.finish(records[0])
    assert offsets(harness.take_all()) == [0, 1]


async def test_a_container_of_a_new_stream_is_not_decoded_before_its_turn() -> None:
    """Whether it is admitted depends on all records before it."""
    harness = Harness()
    records = [container(0), container(1, "new")]
    harness.window.push(records)
    harness.take_all()
    await asyncio.sleep(0)
    assert sorted(harness.codecs.asked) == [0]
    await harness.codecs.finish(records[0])
    harness.take_all()
    await asyncio.sleep(0)
    assert sorted(harness.codecs.asked) == [1]


async def test_a_record_that_is_not_admitted_is_not_decoded() -> None:
    harness = Harness()
    harness.window.push([container(0, "flood"), raw(1, "flood"), raw(2)])
    taken = harness.take_all()
    assert [type(each) for each in taken] == [RejectedRecord, RejectedRecord, DecodedRecord]
    assert harness.codecs.asked == {}


async def test_what_finds_no_room_is_named() -> None:
    harness = Harness()
    first = container(0)
    harness.window.push([first])
    assert harness.window.push(raw(n) for n in range(1, 2 * MAX_RECORDS)) == MAX_RECORDS
    harness.take_all()
    assert not harness.window.has_room
    await asyncio.sleep(0)
    await harness.codecs.finish(first)
    harness.take_all()
    assert harness.window.has_room


async def test_bytes_are_bounded_too_but_one_record_always_fits() -> None:
    harness = Harness()
    huge = raw(0, value=bytes(2 * MAX_BYTES))
    assert harness.window.push([huge, raw(1)]) == 1
    assert offsets(harness.take_all()) == [0]


async def test_a_closed_window_is_empty_and_cancels_what_it_waits_for() -> None:
    harness = Harness()
    harness.window.push([container(0), raw(1)])
    harness.take_all()
    await asyncio.sleep(0)
    harness.window.close()
    await asyncio.sleep(0)
    assert harness.window.is_empty
    assert harness.codecs.asked[0].cancelled()


@pytest.mark.parametrize("streams", [("known", "new"), ("known", "flood", "new")])
@given(data=st.data())
def test_whatever_finishes_first_the_order_is_that_of_offsets(
    streams: tuple[str, ...], data: st.DataObject
) -> None:
    async def run() -> None:
        harness, taken = Harness(), []
        kinds = data.draw(st.lists(st.tuples(st.booleans(), st.sampled_from(streams)), max_size=20))
        records = [
            container(n, stream) if is_container else raw(n, stream)
            for n, (is_container, stream) in enumerate(kinds)
        ]
        harness.window.push(records)
        while len(taken) < len(records):
            taken += offsets(harness.take_all())
            await asyncio.sleep(0)
            if harness.codecs.asked:
                await harness.codecs.finish(
                    records[data.draw(st.sampled_from(sorted(harness.codecs.asked)))]
                )
        assert taken == list(range(len(records)))

    asyncio.run(run())
