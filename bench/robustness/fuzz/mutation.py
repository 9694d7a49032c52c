"""Inputs that are nearly valid: where parsers fail. Pure, and the same for the same seed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final

_MAX_EDITS_LOG2: Final = 5
_BOUNDARIES: Final = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32_767, 65_535, 2**31 - 1, 2**32 - 1)
_WIDTHS: Final = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFF_FFFF}
_OGG_PAGE: Final = b"OggS"
_OGG_HEADER_BYTES: Final = 27
_OGG_SERIAL_AT: Final = 14
_OGG_CRC_AT: Final = 22
_CRC_POLYNOMIAL: Final = 0x04C1_1DB7

Edit = Callable[[Random, bytearray, Sequence[bytes]], None]


def mutated(rng: Random, corpus: Sequence[bytes], max_bytes: int) -> bytes:
    """Return one of the corpus with 1 to 32 edits; half of the Ogg files get valid checksums."""
    data = bytearray(rng.choice(corpus))
    for _ in range(1 << rng.randint(0, _MAX_EDITS_LOG2)):
        rng.choice(_EDITS)(rng, data, corpus)
    made = bytes(data[:max_bytes])
    return with_ogg_checksums(made) if rng.random() < 0.5 else made


def _flip(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_at(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_at(rng, data)] = rng.randrange(256)


def _number(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Write a length or a count that is absurd, in either byte order."""
    width, mask = rng.choice([*_WIDTHS.items()])
    packed = struct.pack(rng.choice("<>") + width, rng.choice(_BOUNDARIES) & mask)
    at = _at(rng, data)
    data[at : at + len(packed)] = packed


def _cut(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _at(rng, data)
    del data[at : at + rng.randint(1, 64)]


def _truncate(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_at(rng, data) :]


def _repeat(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _at(rng, data)
    data[at:at] = data[at : at + rng.randint(1, 512)]


def _insert(rng: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _at(rng, data)
    data[at:at] = rng.randbytes(rng.randint(1, 32))


def _splice(rng: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = rng.choice(corpus)
    begin = rng.randint(0, len(other))
    at = _at(rng, data)
    data[at : at + rng.randint(0, 256)] = other[begin : begin + rng.randint(0, 512)]


def _at(rng: Random, data: bytearray) -> int:
    """Return where to edit; half of the edits are near the start, where headers are."""
    last = max(0, len(data) - 1)
    return rng.randint(0, min(last, 128) if rng.random() < 0.5 else last)


# Edits that make a file shorter than a header are rarer than the others.
_EDITS: Final[tuple[Edit, ...]] = (
    *(_flip, _flip, _flip, _set, _set, _number, _number),
    *(_cut, _repeat, _insert, _splice, _truncate),
)


def with_ogg_checksums(data: bytes) -> bytes:
    """Return the file with a valid checksum on each page (RFC 3533, section 6).

    A decoder reads nothing of a page without one.
    """
    made = bytearray(data)
    for at, end in _ogg_pages(made):
        made[at + _OGG_CRC_AT : at + _OGG_CRC_AT + 4] = bytes(4)
        crc = struct.pack("<I", _crc(made[at:end]))
        made[at + _OGG_CRC_AT : at + _OGG_CRC_AT + 4] = crc
    return bytes(made[: len(data)])


def with_ogg_serial(data: bytes, serial: int) -> bytes:
    """Return the file with this stream serial number, which encoders choose at random."""
    made = bytearray(data)
    for at, _ in _ogg_pages(made):
        made[at + _OGG_SERIAL_AT : at + _OGG_SERIAL_AT + 4] = struct.pack("<I", serial)
    return with_ogg_checksums(bytes(made))


def _ogg_pages(data: bytearray) -> Iterator[tuple[int, int]]:
    """Yield start and end of each page; the data may be changed meanwhile."""
    at = data.find(_OGG_PAGE)
    while at >= 0:
        segments = data[at + 26] if at + 26 < len(data) else 0
        body = at + _OGG_HEADER_BYTES + segments
        end = min(len(data), body + sum(data[at + _OGG_HEADER_BYTES : body]))
        yield at, end
        at = data.find(_OGG_PAGE, max(end, at + len(_OGG_PAGE)))


def _crc(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFF_FFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 & 0xFFFF_FFFF ^ (_CRC_POLYNOMIAL if crc >> 31 else 0)
    return crc


_CRC_TABLE: Final = tuple(map(_crc_of, range(256)))
