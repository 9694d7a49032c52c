"""The log of one input keeps what may be read again, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.records import Partition, Record
from offline.record_log import RecordLog

PARTITION = Partition("files", 0)


def records(first: int, count: int) -> list[Record]:
    return [Record(PARTITION, first + n, 0, b"s", b"", ()) for n in range(count)]


def offsets(taken: list[Record]) -> list[int]:
    return [record.offset for record in taken]


@given(st.data())
def test_each_seek_reads_all_records_from_there_in_order(data: st.DataObject):
    """Model: a list of all records ever appended, of which those before `kept` may be gone."""
    log, end, kept, position = RecordLog(), 0, 0, None
    for _ in range(data.draw(st.integers(1, 30))):
        match data.draw(st.sampled_from(["append", "take", "seek", "pause", "trim"])):
            case "append":
                count = data.draw(st.integers(0, 5))
                log.append(records(end, count))
                end += count
            case "take":
                most = data.draw(st.integers(1, 6))
                expected = [] if position is None else [*range(position, min(end, position + most))]
                assert offsets(log.take(most)) == expected
                position = None if position is None else position + len(expected)
            case "seek":
                position = data.draw(st.integers(kept, end))
                log.seek(position)
            case "pause":
                position = None
                log.pause()
            case "trim":
                kept = data.draw(st.integers(kept, end if position is None else position))
                log.trim(kept)
        assert len(log) == end - kept
        assert log.unread == end - (kept if position is None else position)


def test_nothing_is_read_before_the_first_seek():
    log = RecordLog()
    log.append(records(0, 3))
    assert log.take(3) == []


def test_an_offset_that_does_not_follow_is_rejected():
    log = RecordLog()
    log.append(records(0, 2))
    with pytest.raises(ValueError, match="offset 3 does not follow 1"):
        log.append(records(3, 1))


@pytest.mark.parametrize("offset", [0, 4])
def test_a_seek_to_what_is_not_kept_is_rejected(offset: int):
    log = RecordLog()
    log.append(records(0, 3))
    log.trim(1)
    with pytest.raises(ValueError, match="is not within 1 to 3"):
        log.seek(offset)
