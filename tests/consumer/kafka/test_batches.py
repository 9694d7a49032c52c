from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka.record.memory_records import MemoryRecords
from batch_bytes import CODECS, HEAD_BYTES, batch, batch_with_bad_header, sealed
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.records import Partition, UnreadableBatch
from consumer.kafka.batches import (
    CorruptBatchError,
    MissingRange,
    is_packed,
    missing_range,
    parse_placeholder,
    placeholder,
    split,
    unpacked,
)
from schemas.errors import Reason, WireError

VALUES = (b"one", b"two", b"three")
GARBLED = CorruptBatchError(Reason.CORRUPT_BATCH, "garbled")
CERTAIN = WireError(Reason.BATCH_TOO_LARGE, "too large: send less")
LOG_END = 100


def values(data: bytes) -> list[bytes]:
    """Return the values that aiokafka reads."""
    records, found = MemoryRecords(data), []
    while records.has_next():
        found += [record.value for record in records.next_batch()]
    return found


def test_an_uncompressed_batch_is_unchanged() -> None:
    plain = batch(*VALUES)
    assert unpacked(plain) is plain
    assert not is_packed(plain)


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_batch_is_decompressed_with_its_offset(codec: int) -> None:
    packed = batch(*(value * 100 for value in VALUES), codec=codec, offset=7)
    assert is_packed(packed)
    plain = unpacked(packed)
    assert not is_packed(plain)
    assert values(plain) == [value * 100 for value in VALUES]
    assert MemoryRecords(plain).next_batch().base_offset == 7


@given(sizes=st.lists(st.integers(0, 30), max_size=4), cut=st.integers(0, 200))
def test_batches_are_split_and_a_truncated_last_one_is_dropped(sizes: list[int], cut: int) -> None:
    batches = [batch(bytes(size)) for size in sizes]
    kept = list(split(b"".join([*batches, batch(b"last")[:cut]])))
    assert kept[: len(batches)] == batches
    assert len(kept) - len(batches) == (cut >= len(batch(b"last")))


@given(at=st.integers(HEAD_BYTES - 40, len(batch(*VALUES)) - 1), bit=st.integers(0, 7))
def test_any_changed_bit_is_detected(at: int, bit: int) -> None:
    data = bytearray(batch(*VALUES))
    data[at] ^= 1 << bit
    with pytest.raises(CorruptBatchError):
        unpacked(bytes(data))


@given(records=st.binary(max_size=60), codec=st.integers(0, 7))
def test_aiokafka_can_read_every_batch_that_is_accepted(records: bytes, codec: int) -> None:
    made = sealed(batch(*VALUES), records, codec)
    try:
        values(unpacked(made))
    except WireError as error:
        assert error.reason in {Reason.CORRUPT_BATCH, Reason.BATCH_TOO_LARGE}  # noqa: PT017


def test_a_record_header_that_aiokafka_cannot_read_makes_the_batch_unreadable() -> None:
    with pytest.raises(UnicodeDecodeError):
        values(batch_with_bad_header())
    with pytest.raises(WireError, match="cannot be read"):
        unpacked(batch_with_bad_header())


def test_an_older_record_format_is_rejected() -> None:
    old = bytearray(batch(*VALUES))
    old[16] = 1
    with pytest.raises(CorruptBatchError, match="format"):
        unpacked(bytes(old))
    assert missing_range(bytes(old), GARBLED, 7, LOG_END) == MissingRange(7, 7)


def test_the_missing_range_begins_at_the_position_in_the_batch() -> None:
    made = batch(*VALUES, offset=7)
    assert missing_range(made, CERTAIN, 7, LOG_END) == MissingRange(7, 9, 1_700_000_000_002)
    assert missing_range(made, CERTAIN, 8, LOG_END) == MissingRange(8, 9, 1_700_000_000_002)
    assert missing_range(made, CERTAIN, 5, LOG_END) == MissingRange(7, 9, 1_700_000_000_002)


def test_the_header_of_a_corrupt_batch_is_used_only_if_its_fields_are_consistent() -> None:
    made = batch(*VALUES, offset=7)
    assert missing_range(made, GARBLED, 7, LOG_END) == MissingRange(7, 9)
    assert missing_range(made, GARBLED, 7, 9) == MissingRange(7, 7)
    other_count = bytearray(made)
    other_count[60] ^= 1
    assert missing_range(bytes(other_count), GARBLED, 7, LOG_END) == MissingRange(7, 7)
    assert missing_range(made[:20], GARBLED, 7, LOG_END) == MissingRange(7, 7)


def test_a_placeholder_describes_the_missing_batch_and_takes_its_offsets() -> None:
    missing = MissingRange(7, 9, 5)
    made = MemoryRecords(placeholder(b"raw", missing, CERTAIN, "marker")).next_batch()
    assert made.next_offset == 10
    (record,) = made
    read = SimpleNamespace(
        topic="t", partition=1, offset=record.offset, value=record.value, headers=record.headers
    )
    assert parse_placeholder(read, "marker") == UnreadableBatch(
        Partition("t", 1), 7, 9, 5, b"raw", Reason.BATCH_TOO_LARGE, "too large: send less"
    )
    assert parse_placeholder(read, "another") is None
