"""What a batch was compressed from, never more of it than is asked for: bombs stay unexploded.

aiokafka unpacks whatever comes, and 8 KB of zstd may stand for 256 MiB. Here every codec writes
into room of a given size and gives up where that is full.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import cramjam

from schemas.errors import Reason, WireError

Unpack: TypeAlias = Callable[[bytes, int], bytes]

_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's way to ask for gzip's framing
_XERIAL: Final = b"\x82SNAPPY\0"  # Java's framing of snappy: 16 bytes, then blocks with their sizes
_XERIAL_HEAD_BYTES: Final = 16
_FULL: Final = "failed to write whole buffer"  # cramjam has no error of its own for it


def unpack(codec: int, packed: bytes, most: int) -> bytes:
    """At most `most` bytes. `codec`: Kafka's number, in a batch's attributes.

    Raises `WireError`: BATCH_TOO_LARGE, or CORRUPT_BATCH.
    """
    if (unpacked := _CODECS.get(codec)) is None:
        raise WireError(Reason.CORRUPT_BATCH, f"there is no codec {codec}")
    try:
        return unpacked(packed, most)
    except (cramjam.DecompressionError, zlib.error, EOFError, struct.error) as error:
        if _FULL in str(error):
            raise too_large(most) from error
        raise WireError(Reason.CORRUPT_BATCH, f"it cannot be unpacked: {error}") from error


def too_large(most: int) -> WireError:
    return WireError(Reason.BATCH_TOO_LARGE, f"it unpacks to more than {most} bytes")


def _gzip(packed: bytes, most: int) -> bytes:
    """Members one behind the other, as gzip allows."""
    parts, room = [], most
    while packed:
        member = zlib.decompressobj(_GZIP)
        part = member.decompress(packed, room + 1)
        if len(part) > room:
            raise too_large(most)
        if not member.eof:
            raise EOFError("gzip: it ends too early")
        parts.append(part)
        room -= len(part)
        packed = member.unused_data
    return b"".join(parts)


def _snappy(packed: bytes, most: int) -> bytes:
    """Each block says its size before anything is unpacked, and cannot grow beyond it."""
    parts, room = [], most
    for block in _blocks(packed):
        room -= cramjam.snappy.decompress_raw_len(block)
        if room < 0:
            raise too_large(most)
        parts.append(bytes(cramjam.snappy.decompress_raw(block)))
    return b"".join(parts)


def _blocks(packed: bytes) -> Iterator[bytes]:
    if not packed.startswith(_XERIAL):
        yield packed
        return
    at = _XERIAL_HEAD_BYTES
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        if size < 0:
            raise EOFError("snappy: a block of a negative size")
        yield packed[at + 4 : at + 4 + size]
        at += 4 + size


def _lz4(packed: bytes, most: int) -> bytes:
    room = bytearray(most)
    return bytes(memoryview(room)[: cramjam.lz4.decompress_into(packed, room)])


def _zstd(packed: bytes, most: int) -> bytes:
    room = bytearray(most)
    return bytes(memoryview(room)[: cramjam.zstd.decompress_into(packed, room)])


_CODECS: Final[dict[int, Unpack]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
