from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.core.partition.state import Found, GroupOffset, Halt, PartitionState, recover
from consumer.core.streams.state import StreamState

KNOWN = Found(PartitionState(90, 70), {}, GroupOffset(70), log_start=10, log_end=100)
NEW = replace(KNOWN, partition=None, group_offset=None)


def test_a_new_group_begins_at_the_start_or_end_of_the_log_as_configured():
    assert recover(NEW, from_earliest=True).partition == PartitionState(10, 10)
    assert recover(NEW, from_earliest=False).partition == PartitionState(100, 100)


def test_committed_state_is_restored():
    stream = StreamState(70, 71, 0, None, None)
    restored = recover(replace(KNOWN, streams={"s": stream}), from_earliest=True)
    assert restored.partition == PartitionState(90, 70)
    assert restored.streams == {"s": stream}


@pytest.mark.parametrize(("offset", "begin"), [(50, 50), (10, 10), (100, 100), (3, 10)])
def test_a_new_group_begins_at_an_offset_that_an_operator_set(offset: int, begin: int):
    by_hand = replace(NEW, group_offset=GroupOffset(offset, by_worker=False))
    for from_earliest in (True, False):
        restored = recover(by_hand, from_earliest=from_earliest)
        assert restored.partition == PartitionState(begin, begin)
        assert restored.log_end == 100


def test_a_group_offset_after_the_end_of_the_log_halts():
    by_hand = replace(NEW, group_offset=GroupOffset(101, by_worker=False))
    with pytest.raises(Halt, match=r"offset 101 of the group.*ends at 100.*--reset-offsets"):
        recover(by_hand, from_earliest=True)


def test_a_group_offset_does_not_override_state():
    moved = replace(KNOWN, group_offset=GroupOffset(95, by_worker=False))
    assert recover(moved, from_earliest=True).partition == PartitionState(90, 70)


def test_lost_state_halts():
    with pytest.raises(Halt, match="restore the state topic"):
        recover(replace(KNOWN, partition=None), from_earliest=True)


def test_a_log_that_ends_before_the_next_offset_halts():
    with pytest.raises(Halt, match="created again"):
        recover(replace(KNOWN, log_end=89), from_earliest=True)
    assert recover(replace(KNOWN, log_end=90), from_earliest=True).partition.next_offset == 90


def test_deleted_records_that_were_needed_are_reported():
    restored = recover(replace(KNOWN, log_start=80), from_earliest=True)
    assert (restored.partition, restored.deleted) == (PartitionState(90, 80), 80)
    restored = recover(replace(KNOWN, log_start=95), from_earliest=True)
    assert (restored.partition, restored.deleted) == (PartitionState(95, 95), 95)


def test_deleted_records_that_were_not_needed_are_not_reported():
    assert recover(replace(KNOWN, log_start=70), from_earliest=True).deleted == 0


def test_a_stream_resumes_at_its_needed_offset_or_after_the_last_one_read():
    assert StreamState(7, 9, 0, None, None).resume_offset == 7
    assert StreamState(None, 9, 0, None, None).resume_offset == 9
