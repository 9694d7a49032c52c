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


class FakeCodecs:
    """FakeCodecs whose decodes of containers end when `finish` is called."""

    def __init__(self) -> None:
        self.decoding: dict[int, asyncio.Future[DecodedRecord]] = {}

    def read(self, record: Record) -> DecodedRecord | RejectedRecord | None:
        return None if record.value == b"container" else DecodedRecord(record, ())

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        return await self.decoding.setdefault(record.offset, asyncio.Future())

    async def finish(self, record: Record) -> None:
        await asyncio.sleep(0)
        self.decoding.pop(record.offset).set_result(DecodedRecord(record, ()))
        for _ in range(3):
            await asyncio.sleep(0)


class FakeAdmission:
    """FakeAdmission by stream id: `known` is known, `flood` is rejected, others are admitted."""

    def __init__(self) -> None:
        self.known = {"known"}

    def is_known(self, record: Record) -> bool:
        return (record.key or b"").decode() in self.known

    def admit(self, record: Record) -> RejectedRecord | None:
        if record.key == b"flood":
            return RejectedRecord(record, Reason.TOO_MANY_STREAMS)
        return None

    def on_taken(self, taken: list[IncomingRecord]) -> None:
        for each in taken:
            if isinstance(each, DecodedRecord):
                self.known.add((each.record.key or b"").decode())


class Harness:
    def __init__(self) -> None:
        self.codecs = FakeCodecs()
        self.admission = FakeAdmission()
        self.decoded = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.window = DecodeWindow(self.codecs, self._spawn, self._count)

    def take_all(self) -> list[IncomingRecord]:
        """Take records, as the pipeline does, until none is available."""
        taken: list[IncomingRecord] = []
        while more := self.window.take(self.admission):
            self.admission.on_taken(more)
            taken += more
        return taken

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.append(asyncio.get_running_loop().create_task(work))
        return self._tasks[-1]

    def _count(self) -> None:
        self.decoded += 1


def offsets(taken: list[IncomingRecord]) -> list[int]:
    return [each.record.offset for each in taken if not hasattr(each, "last_offset")]


async def test_raw_audio_is_available_at_once() -> None:
    harness = Harness()
    assert harness.window.push(raw(n) for n in range(5)) is None
    assert offsets(harness.take_all()) == [0, 1, 2, 3, 4]
    assert harness.window.is_empty


async def test_a_record_is_taken_only_after_all_records_before_it() -> None:
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
    assert sorted(harness.codecs.decoding) == list(range(AHEAD))
    await harness.codecs.finish(records[1])
    assert harness.take_all() == []
    await harness.codecs.finish(records[0])
    assert offsets(harness.take_all()) == [0, 1]


async def test_a_container_of_a_new_stream_is_not_decoded_ahead() -> None:
    """Its admission depends on all records before it."""
    harness = Harness()
    records = [container(0), container(1, "new")]
    harness.window.push(records)
    harness.take_all()
    await asyncio.sleep(0)
    assert sorted(harness.codecs.decoding) == [0]
    await harness.codecs.finish(records[0])
    harness.take_all()
    await asyncio.sleep(0)
    assert sorted(harness.codecs.decoding) == [1]


async def test_a_rejected_record_is_not_decoded() -> None:
    harness = Harness()
    harness.window.push([container(0, "flood"), raw(1, "flood"), raw(2)])
    taken = harness.take_all()
    assert [type(each) for each in taken] == [RejectedRecord, RejectedRecord, DecodedRecord]
    assert harness.codecs.decoding == {}


async def test_push_returns_the_first_offset_that_does_not_fit() -> None:
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


async def test_bytes_are_bounded_but_one_record_always_fits() -> None:
    harness = Harness()
    huge = raw(0, value=bytes(2 * MAX_BYTES))
    assert harness.window.push([huge, raw(1)]) == 1
    assert offsets(harness.take_all()) == [0]


async def test_closing_empties_the_window_and_cancels_its_decodes() -> None:
    harness = Harness()
    harness.window.push([container(0), raw(1)])
    harness.take_all()
    await asyncio.sleep(0)
    harness.window.close()
    await asyncio.sleep(0)
    assert harness.window.is_empty
    assert harness.codecs.decoding[0].cancelled()


@pytest.mark.parametrize("streams", [("known", "new"), ("known", "flood", "new")])
@given(data=st.data())
def test_records_are_taken_in_offset_order_whichever_decode_ends_first(
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
            if harness.codecs.decoding:
                await harness.codecs.finish(
                    records[data.draw(st.sampled_from(sorted(harness.codecs.decoding)))]
                )
        assert taken == list(range(len(records)))

    asyncio.run(run())
