from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.core.partition.state import Found, GroupOffset, Halt, PartitionState, recover
from consumer.core.streams.state import StreamState

KNOWN = Found(PartitionState(90, 70), {}, GroupOffset(70), log_start=10, log_end=100)
NEW = replace(KNOWN, partition=None, group_offset=None)


def test_a_group_that_has_read_nothing_begins_where_it_is_told():
    assert recover(NEW, from_earliest=True).partition == PartitionState(10, 10)
    assert recover(NEW, from_earliest=False).partition == PartitionState(100, 100)


def test_what_was_committed_goes_on():
    stream = StreamState(70, 71, 0, None, None)
    restored = recover(replace(KNOWN, streams={"s": stream}), from_earliest=True)
    assert restored.partition == PartitionState(90, 70)
    assert restored.streams == {"s": stream}


@pytest.mark.parametrize(("offset", "begin"), [(50, 50), (10, 10), (100, 100), (3, 10)])
def test_a_group_offset_that_an_operator_has_set_is_where_a_new_group_begins(
    offset: int, begin: int
):
    by_hand = replace(NEW, group_offset=GroupOffset(offset, by_worker=False))
    for from_earliest in (True, False):
        restored = recover(by_hand, from_earliest=from_earliest)
        assert restored.partition == PartitionState(begin, begin)
        assert restored.log_end == 100


def test_a_group_offset_after_the_end_of_the_log_is_for_an_operator():
    by_hand = replace(NEW, group_offset=GroupOffset(101, by_worker=False))
    with pytest.raises(Halt, match=r"offset 101 of the group.*ends at 100.*--reset-offsets"):
        recover(by_hand, from_earliest=True)


def test_a_group_offset_does_not_override_state():
    moved = replace(KNOWN, group_offset=GroupOffset(95, by_worker=False))
    assert recover(moved, from_earliest=True).partition == PartitionState(90, 70)


def test_state_that_was_lost_is_for_an_operator():
    with pytest.raises(Halt, match="restore the state topic"):
        recover(replace(KNOWN, partition=None), from_earliest=True)


def test_a_log_that_ends_before_what_was_read_is_for_an_operator():
    with pytest.raises(Halt, match="created again"):
        recover(replace(KNOWN, log_end=89), from_earliest=True)
    assert recover(replace(KNOWN, log_end=90), from_earliest=True).partition.next_offset == 90


def test_what_was_deleted_cannot_be_read():
    restored = recover(replace(KNOWN, log_start=80), from_earliest=True)
    assert (restored.partition, restored.deleted) == (PartitionState(90, 80), 80)
    restored = recover(replace(KNOWN, log_start=95), from_earliest=True)
    assert (restored.partition, restored.deleted) == (PartitionState(95, 95), 95)


def test_what_was_read_before_it_was_deleted_is_not_missed():
    assert recover(replace(KNOWN, log_start=70), from_earliest=True).deleted == 0


def test_records_below_a_streams_first_unfinished_one_are_done_with():
    assert StreamState(7, 9, 0, None, None).resume_offset == 7
    assert StreamState(None, 9, 0, None, None).resume_offset == 9
