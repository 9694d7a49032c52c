"""Record batches of Kafka's log: decompress them, and replace the unreadable by a placeholder.

Kafka's record format v2 (KIP-98): a header of 61 bytes, then the records, compressed together. A
batch that cannot be read is replaced by a batch of one record that describes it, at the same
offsets: a consumer meets it in offset order and continues after it. Pure: bytes in, bytes out.
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

# Limit of a decompressed batch. With the configuration that we require of an audio topic the broker
# decompresses batches and bounds them itself; this limit is for batches that were written before,
# or under another configuration.
MAX_UNPACKED_BYTES: Final = 4 * MAX_RECORD_BYTES

_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_SIZED: Final = struct.Struct(">qi")  # offset and length, the first fields of every format
_FORMAT: Final = 2
_FORMAT_AT: Final = 16  # byte position in every format
_LAST_OFFSET_AT: Final = 23  # byte position of last_offset_delta
_CODEC_MASK: Final = 0x07  # of the attributes


class BatchHeader(NamedTuple):
    """The header of a batch; its checksum covers the bytes from `attributes` on."""

    offset: int
    length: int  # of the bytes after this field
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
        """Kafka's number of the compression codec; 0: none."""
        return self.attributes & _CODEC_MASK

    @property
    def last_offset(self) -> int:
        return self.offset + self.last_offset_delta


class CorruptBatchError(WireError):
    """The bytes differ from those written: in the log, or in this fetch response alone."""


@dataclass(frozen=True, slots=True)
class MissingRange:
    """The offsets that a batch which cannot be read takes."""

    first: int
    last: int
    timestamp_ms: int | None = None  # append time of the batch; None: unknown


def split(data: bytes) -> Iterator[bytes]:
    """Yield the batches of a fetch response, without a last one that Kafka has cut short."""
    at = 0
    while at + _SIZED.size <= len(data):
        _, length = _SIZED.unpack_from(data, at)
        end = at + _SIZED.size + length
        if length <= _FORMAT_AT - _SIZED.size or end > len(data):
            return
        yield data[at:end]
        at = end


def is_packed(batch: bytes) -> bool:
    """Return whether the batch is compressed."""
    header = _header(batch)
    return header is not None and header.codec != 0


def unpacked(batch: bytes) -> bytes:
    """Return the batch without compression, after checking that its records can be read.

    Raises `WireError`: `CorruptBatchError` where another read may return other bytes.
    """
    header = _header(batch)
    if header is None:
        raise CorruptBatchError(
            Reason.CORRUPT_BATCH,
            f"the batch is not of record format {_FORMAT}; check the broker's disk and network, "
            "or produce with a client of Kafka 0.11 or newer",
        )
    records = DefaultRecordBatch(batch)
    if not records.validate_crc():
        raise CorruptBatchError(
            Reason.CORRUPT_BATCH,
            "the batch does not match its checksum; check the broker's disk and network",
        )
    plain = batch
    if header.codec:
        plain = _decompressed(batch, header)
        records = DefaultRecordBatch(plain)
    try:
        for _ in records:
            pass
    except (KafkaError, ValueError) as error:  # ValueError: the key of a header is not UTF-8
        raise WireError(
            Reason.CORRUPT_BATCH,
            f"a record of the batch cannot be read: {error}; fix its producer",
        ) from error
    return plain


def missing_range(batch: bytes, error: WireError, position: int, log_end: int) -> MissingRange:
    """Return the offsets that `batch` takes from `position` on.

    The header of a corrupt batch is used where its fields are consistent. Otherwise only one offset
    is skipped: the next fetch may begin at a batch that can be read.
    """
    header = _header(batch)
    if header is None:
        return MissingRange(position, position)
    first, last = max(position, header.offset), header.last_offset
    if not isinstance(error, CorruptBatchError):
        return MissingRange(first, max(first, last), header.last_timestamp_ms)
    if header.records == header.last_offset_delta + 1 and first <= last < log_end:
        return MissingRange(first, last)
    return MissingRange(position, position)


def placeholder(batch: bytes, missing: MissingRange, error: WireError, marker: str) -> bytes:
    """Return a batch of one record that holds `batch`; its header `marker` describes the rest.

    `parse_placeholder` reads it back.
    """
    timestamp = "" if missing.timestamp_ms is None else missing.timestamp_ms
    description = f"{missing.last} {timestamp} {error.reason} {error}"
    builder = DefaultRecordBatchBuilder(_FORMAT, 0, 0, -1, -1, -1, 0)
    builder.append(0, 0, None, batch, [(marker, description.encode())])
    built = builder.build()
    struct.pack_into(">q", built, 0, missing.first)
    struct.pack_into(">i", built, _LAST_OFFSET_AT, missing.last - missing.first)
    return bytes(built)


def parse_placeholder(record: Any, marker: str) -> UnreadableBatch | None:
    """Return the batch that a record of aiokafka's replaces, or None if the log holds the record.

    `marker` is the header's key that `placeholder` was given.
    """
    description = dict(record.headers).get(marker)
    if description is None:
        return None
    last, timestamp, reason, message = description.decode().split(" ", 3)
    return UnreadableBatch(
        Partition(record.topic, record.partition),
        record.offset,
        int(last),
        int(timestamp) if timestamp else None,
        record.value,
        Reason(reason),
        message,
    )


def _header(batch: bytes) -> BatchHeader | None:
    """Return the header, or None for a batch of another format or a short one."""
    if len(batch) < _HEADER.size or batch[_FORMAT_AT] != _FORMAT:
        return None
    return BatchHeader._make(_HEADER.unpack_from(batch))


def _decompressed(batch: bytes, header: BatchHeader) -> bytes:
    """Return the batch as an uncompressed one; its checksum is left as it was."""
    records = unpack(header.codec, batch[_HEADER.size :], MAX_UNPACKED_BYTES)
    length = _HEADER.size - _SIZED.size + len(records)
    plain = header._replace(length=length, attributes=header.attributes & ~_CODEC_MASK)
    return _HEADER.pack(*plain) + records
