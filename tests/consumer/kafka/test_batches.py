from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka.record.memory_records import MemoryRecords
from batch_bytes import CODECS, HEAD_BYTES, batch, nameless, sealed
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
    """As aiokafka reads them."""
    records, found = MemoryRecords(data), []
    while records.has_next():
        found += [record.value for record in records.next_batch()]
    return found


def test_a_plain_batch_passes_as_it_is() -> None:
    plain = batch(*VALUES)
    assert unpacked(plain) is plain
    assert not is_packed(plain)


@pytest.mark.parametrize("codec", CODECS)
def test_a_compressed_batch_is_read_as_if_it_had_never_been(codec: int) -> None:
    packed = batch(*(value * 100 for value in VALUES), codec=codec, offset=7)
    assert is_packed(packed)
    plain = unpacked(packed)
    assert not is_packed(plain)
    assert values(plain) == [value * 100 for value in VALUES]
    assert MemoryRecords(plain).next_batch().base_offset == 7


@given(sizes=st.lists(st.integers(0, 30), max_size=4), cut=st.integers(0, 200))
def test_batches_are_told_apart_and_the_last_may_be_cut(sizes: list[int], cut: int) -> None:
    batches = [batch(bytes(size)) for size in sizes]
    kept = list(split(b"".join([*batches, batch(b"last")[:cut]])))
    assert kept[: len(batches)] == batches
    assert len(kept) - len(batches) == (cut >= len(batch(b"last")))


@given(at=st.integers(HEAD_BYTES - 40, len(batch(*VALUES)) - 1), bit=st.integers(0, 7))
def test_any_changed_bit_is_seen(at: int, bit: int) -> None:
    data = bytearray(batch(*VALUES))
    data[at] ^= 1 << bit
    with pytest.raises(CorruptBatchError):
        unpacked(bytes(data))


@given(records=st.binary(max_size=60), codec=st.integers(0, 7))
def test_whatever_a_batch_holds_aiokafka_can_read_what_is_readable(
    records: bytes, codec: int
) -> None:
    made = sealed(batch(*VALUES), records, codec)
    try:
        values(unpacked(made))
    except WireError as error:
        assert error.reason in {Reason.CORRUPT_BATCH, Reason.BATCH_TOO_LARGE}  # noqa: PT017


def test_a_header_that_aiokafka_cannot_read_makes_a_batch_unreadable() -> None:
    with pytest.raises(UnicodeDecodeError):
        values(nameless())
    with pytest.raises(WireError, match="cannot be read"):
        unpacked(nameless())


def test_another_format_is_not_read() -> None:
    old = bytearray(batch(*VALUES))
    old[16] = 1
    with pytest.raises(CorruptBatchError, match="format"):
        unpacked(bytes(old))
    assert missing_range(bytes(old), GARBLED, 7, LOG_END) == MissingRange(7, 7)


def test_what_is_missing_is_what_has_not_been_read_of_the_batch() -> None:
    made = batch(*VALUES, offset=7)
    assert missing_range(made, CERTAIN, 7, LOG_END) == MissingRange(7, 9, 1_700_000_000_002)
    assert missing_range(made, CERTAIN, 8, LOG_END) == MissingRange(8, 9, 1_700_000_000_002)
    assert missing_range(made, CERTAIN, 5, LOG_END) == MissingRange(7, 9, 1_700_000_000_002)


def test_a_garbled_head_is_believed_where_its_fields_agree() -> None:
    made = batch(*VALUES, offset=7)
    assert missing_range(made, GARBLED, 7, LOG_END) == MissingRange(7, 9)
    assert missing_range(made, GARBLED, 7, 9) == MissingRange(7, 7)
    other_count = bytearray(made)
    other_count[60] ^= 1
    assert missing_range(bytes(other_count), GARBLED, 7, LOG_END) == MissingRange(7, 7)
    assert missing_range(made[:20], GARBLED, 7, LOG_END) == MissingRange(7, 7)


def test_what_stands_for_a_batch_says_what_is_missing_and_takes_its_offsets() -> None:
    gone = MissingRange(7, 9, 5)
    made = MemoryRecords(placeholder(b"raw", gone, CERTAIN, "mark")).next_batch()
    assert made.next_offset == 10
    (record,) = made
    told = SimpleNamespace(
        topic="t", partition=1, offset=record.offset, value=record.value, headers=record.headers
    )
    assert parse_placeholder(told, "mark") == UnreadableBatch(
        Partition("t", 1), 7, 9, 5, b"raw", Reason.BATCH_TOO_LARGE, "too large: send less"
    )
    assert parse_placeholder(told, "another") is None
