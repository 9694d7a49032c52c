"""Record batches as they lie in Kafka's log: whether one can be read, and what stands for it.

Kafka's record format v2 (KIP-98): a head of 61 bytes, then the records, compressed together. What
cannot be read becomes a batch of one record that says so, at the same offsets, so that whoever
reads the log meets it in its place and passes on behind it. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from consumer.core.streams.records import Partition, UnreadableBatch
from consumer.kafka.unpack import unpack
from schemas.audio import MAX_RECORD_BYTES
from schemas.errors import Reason, WireError

# What a batch may be unpacked to. The brokers unpack for a topic as it must be, and take no more
# than one record's worth then; so this is for batches of before, or that another rule let in.
MAX_UNPACKED_BYTES: Final = 4 * MAX_RECORD_BYTES

_HEAD: Final = struct.Struct(">qiibIhiqqqhii")
_SIZED: Final = struct.Struct(">qi")  # offset and length, of every format
_FORMAT: Final = 2
_FORMAT_AT: Final = 16  # in every format
_LAST_OFFSET_AT: Final = 23
_CODEC: Final = 0x07  # of the attributes


class Head(NamedTuple):
    """What stands before the records; the checksum covers it from `attributes` on."""

    offset: int
    length: int  # of what follows it
    leader_epoch: int
    format: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def codec(self) -> int:
        """Kafka's number; 0: none."""
        return self.attributes & _CODEC

    @property
    def last_offset(self) -> int:
        return self.offset + self.last_offset_delta


class CorruptBatchError(WireError):
    """Other bytes than were written: in the log, or only in this answer."""


@dataclass(frozen=True, slots=True)
class MissingRange:
    """The offsets of a batch that cannot be read."""

    first: int
    last: int
    timestamp_ms: int | None = None  # append time of the batch; None: not known


def split(data: bytes) -> Iterator[bytes]:
    """One batch after the other; the last one may be cut off, as Kafka does."""
    at = 0
    while at + _SIZED.size <= len(data):
        _, length = _SIZED.unpack_from(data, at)
        end = at + _SIZED.size + length
        if length <= _FORMAT_AT - _SIZED.size or end > len(data):
            return
        yield data[at:end]
        at = end


def is_packed(batch: bytes) -> bool:
    head = _head(batch)
    return head is not None and head.codec != 0


def unpacked(batch: bytes) -> bytes:
    """The batch, uncompressed. Raises `WireError`, of which `GarbledError` may pass."""
    head = _head(batch)
    if head is None:
        raise CorruptBatchError(Reason.CORRUPT_BATCH, f"it is not of record format {_FORMAT}")
    if not DefaultRecordBatch(batch).validate_crc():
        raise CorruptBatchError(Reason.CORRUPT_BATCH, "its bytes do not agree with its checksum")
    plain = _unpacked(batch, head) if head.codec else batch
    try:
        for _ in DefaultRecordBatch(plain):
            pass
    except (KafkaError, ValueError) as error:  # a header's name may be no UTF-8
        raise WireError(Reason.CORRUPT_BATCH, f"a record of it cannot be read: {error}") from error
    return plain


def missing_range(batch: bytes, error: WireError, position: int, log_end: int) -> MissingRange:
    """What cannot be read from `position` on.

    A garbled head is believed where its fields agree, and else to take one offset: behind it, Kafka
    may find its way again.
    """
    head = _head(batch)
    if head is None:
        return MissingRange(position, position)
    first, last = max(position, head.offset), head.last_offset
    if not isinstance(error, CorruptBatchError):
        return MissingRange(first, max(first, last), head.last_timestamp_ms)
    if head.records == head.last_offset_delta + 1 and first <= last < log_end:
        return MissingRange(first, last)
    return MissingRange(position, position)


def placeholder(batch: bytes, gone: MissingRange, error: WireError, mark: str) -> bytes:
    """A batch of one record, in which `mark` says what is missing: see `unread`."""
    timestamp = "" if gone.timestamp_ms is None else gone.timestamp_ms
    told = f"{gone.last} {timestamp} {error.reason} {error}"
    builder = DefaultRecordBatchBuilder(_FORMAT, 0, 0, -1, -1, -1, 0)
    builder.append(0, 0, None, batch, [(mark, told.encode())])
    made = builder.build()
    struct.pack_into(">q", made, 0, gone.first)
    struct.pack_into(">i", made, _LAST_OFFSET_AT, gone.last - gone.first)
    return bytes(made)


def parse_placeholder(record: Any, mark: str) -> UnreadableBatch | None:
    """What a record of aiokafka's stands for; None: it is one of the log."""
    told = dict(record.headers).get(mark)
    if told is None:
        return None
    last, timestamp, reason, message = told.decode().split(" ", 3)
    return UnreadableBatch(
        Partition(record.topic, record.partition),
        record.offset,
        int(last),
        int(timestamp) if timestamp else None,
        record.value,
        Reason(reason),
        message,
    )


def _head(batch: bytes) -> Head | None:
    """None: of another format, or too short."""
    if len(batch) < _HEAD.size or batch[_FORMAT_AT] != _FORMAT:
        return None
    return Head._make(_HEAD.unpack_from(batch))


def _unpacked(batch: bytes, head: Head) -> bytes:
    """As if it had never been compressed, but for the checksum."""
    records = unpack(head.codec, batch[_HEAD.size :], MAX_UNPACKED_BYTES)
    length = _HEAD.size - _SIZED.size + len(records)
    plain = head._replace(length=length, attributes=head.attributes & ~_CODEC)
    return _HEAD.pack(*plain) + records
