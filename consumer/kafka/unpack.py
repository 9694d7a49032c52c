"""Decompress batches into a bounded size, so that a decompression bomb takes no memory.

aiokafka decompresses without a limit, and 8 KB of zstd can hold 256 MiB. Here every codec writes to
a buffer of the largest allowed size and fails when it is full.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import cramjam

from schemas.errors import Reason, WireError

Unpack: TypeAlias = Callable[[bytes, int], bytes]

_GZIP: Final = 16 + zlib.MAX_WBITS  # selects gzip's framing in zlib
_XERIAL: Final = b"\x82SNAPPY\0"  # snappy-java's framing: a header, then blocks with their sizes
_XERIAL_HEADER_BYTES: Final = 16
_FULL: Final = "failed to write whole buffer"  # cramjam has no error class for it


def unpack(codec: int, packed: bytes, limit: int) -> bytes:
    """Return the decompressed bytes, at most `limit`. `codec`: Kafka's number of it.

    Raises `WireError`: BATCH_TOO_LARGE, or CORRUPT_BATCH.
    """
    if (decompress := _CODECS.get(codec)) is None:
        raise WireError(
            Reason.CORRUPT_BATCH, f"Kafka has no codec {codec}; use gzip, snappy, lz4 or zstd"
        )
    try:
        return decompress(packed, limit)
    except (cramjam.DecompressionError, zlib.error, EOFError, struct.error) as error:
        if _FULL in str(error):
            raise _too_large(limit) from error
        raise WireError(
            Reason.CORRUPT_BATCH, f"the batch cannot be decompressed: {error}; fix its producer"
        ) from error


def _too_large(limit: int) -> WireError:
    return WireError(
        Reason.BATCH_TOO_LARGE,
        f"the batch decompresses to more than {limit} bytes; produce smaller batches",
    )


def _gzip(packed: bytes, limit: int) -> bytes:
    """Decompress all members: gzip allows several in a row."""
    parts, room = [], limit
    while packed:
        member = zlib.decompressobj(_GZIP)
        part = member.decompress(packed, room + 1)
        if len(part) > room:
            raise _too_large(limit)
        if not member.eof:
            raise EOFError("gzip: the data ends early")
        parts.append(part)
        room -= len(part)
        packed = member.unused_data
    return b"".join(parts)


def _snappy(packed: bytes, limit: int) -> bytes:
    """Decompress block by block: each one states its size, and cannot exceed it."""
    parts, room = [], limit
    for block in _blocks(packed):
        room -= cramjam.snappy.decompress_raw_len(block)
        if room < 0:
            raise _too_large(limit)
        parts.append(bytes(cramjam.snappy.decompress_raw(block)))
    return b"".join(parts)


def _blocks(packed: bytes) -> Iterator[bytes]:
    if not packed.startswith(_XERIAL):
        yield packed
        return
    at = _XERIAL_HEADER_BYTES
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        if size < 0:
            raise EOFError("snappy: a block has a negative size")
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def _lz4(packed: bytes, limit: int) -> bytes:
    room = bytearray(limit)
    return bytes(memoryview(room)[: cramjam.lz4.decompress_into(packed, room)])


def _zstd(packed: bytes, limit: int) -> bytes:
    room = bytearray(limit)
    return bytes(memoryview(room)[: cramjam.zstd.decompress_into(packed, room)])


_CODECS: Final[dict[int, Unpack]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
