"""Inputs that are nearly valid: where parsers fail. Pure, and the same for the same seed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final

_MAX_EDITS_LOG2: Final = 5
# Edits that make a file shorter than a header are rarer than the others.
_EDITS: Final = (
    *("flip", "flip", "flip", "set", "set", "number", "number"),
    *("cut", "repeat", "insert", "splice", "truncate"),
)
_BOUNDARIES: Final = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32_767, 65_535, 2**31 - 1, 2**32 - 1)
_WIDTHS: Final = {"B": 0xFF, "H": 0xFFFF, "I": 0xFFFF_FFFF}
_OGG_PAGE: Final = b"OggS"
_OGG_HEADER_BYTES: Final = 27
_OGG_SERIAL_AT: Final = 14
_OGG_CRC_AT: Final = 22
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # its bits


def mutated(rng: Random, corpus: Sequence[bytes], max_bytes: int) -> bytes:
    """Return one of the corpus with 1 to 32 edits; half of the Ogg files get valid checksums."""
    data = bytearray(rng.choice(corpus))
    for _ in range(1 << rng.randint(0, _MAX_EDITS_LOG2)):
        _edit(rng, data, rng.choice(corpus))
    made = bytes(data[:max_bytes])
    return with_ogg_checksums(made) if rng.random() < 0.5 else made


def _edit(rng: Random, data: bytearray, other: bytes) -> None:
    at = _at(rng, data)
    match rng.choice(_EDITS):
        case "flip":
            data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
        case "set":
            data[at : at + 1] = rng.randbytes(1)
        case "number":
            number = _absurd_number(rng)
            data[at : at + len(number)] = number
        case "cut":
            del data[at : at + rng.randint(1, 64)]
        case "repeat":
            data[at:at] = data[at : at + rng.randint(1, 512)]
        case "insert":
            data[at:at] = rng.randbytes(rng.randint(1, 32))
        case "splice":
            begin = rng.randint(0, len(other))
            data[at : at + rng.randint(0, 256)] = other[begin : begin + rng.randint(0, 512)]
        case "truncate":
            del data[at:]


def _at(rng: Random, data: bytearray) -> int:
    """Return where to edit; half of the edits are near the start, where headers are."""
    last = max(0, len(data) - 1)
    return rng.randint(0, min(last, 128) if rng.random() < 0.5 else last)


def _absurd_number(rng: Random) -> bytes:
    """Return a length or a count, in either byte order."""
    width, mask = rng.choice([*_WIDTHS.items()])
    return struct.pack(rng.choice("<>") + width, rng.choice(_BOUNDARIES) & mask)


def with_ogg_checksums(data: bytes) -> bytes:
    """Return the file with a valid checksum on each page (RFC 3533, section 6).

    A decoder reads nothing of a page without one.
    """
    made = bytearray(data)
    for at, end in _ogg_pages(made):
        made[at + _OGG_CRC_AT : at + _OGG_CRC_AT + 4] = bytes(4)
        made[at + _OGG_CRC_AT : at + _OGG_CRC_AT + 4] = _crc(made[at:end])
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


def _crc(page: bytearray) -> bytes:
    """Return Ogg's checksum: zlib's with the bits of each byte reversed, begun and ended with 0."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)
