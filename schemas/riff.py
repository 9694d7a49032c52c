"""Chunks of WAV files, also of those whose writer could not go back to fill in lengths. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

RIFF: Final = b"RIFF"
FIRST_CHUNK: Final = 12  # bytes, after "RIFF", a length and "WAVE"
_CHUNK_HEADER: Final = 8
NEXT_BYTES: Final = _CHUNK_HEADER  # after the header of the samples, to know their length
_PCM: Final = 1
# Writers to a pipe state 0, 0xFFFFFFFF or a little below 2 GiB.
_NO_LENGTH: Final = 0x7FFF_0000


@dataclass(frozen=True, slots=True)
class DataChunk:
    """Where the samples of a WAV are."""

    start: int  # byte
    length: int | None  # bytes; None: to the end of the file


def is_wav(data: bytes, at: int = 0) -> bool:
    return data[at : at + 4] == RIFF and data[at + 8 : at + 12] == b"WAVE"


def data_chunk(data: bytes, at: int = 0) -> DataChunk | None:
    """Return the samples of the WAV that begins at this byte, or None without such a chunk.

    `data` may be only the beginning of the file, with `NEXT_BYTES` of what follows the header.
    """
    at += FIRST_CHUNK
    while len(data) >= at + _CHUNK_HEADER:
        start, length = at + _CHUNK_HEADER, _length(data, at)
        if data[at : at + 4] == b"data":
            unknown = length >= _NO_LENGTH or (not length and not _at_chunk_or_end(data, start))
            return DataChunk(start, None if unknown else length)
        at = after_chunk(data, start, length)
    return None


def pcm16_format(data: bytes) -> tuple[int, int] | None:
    """Return rate in Hz and channels of a WAV of 16-bit PCM, or None for other encodings.

    `data` is the beginning of the file, up to the samples.
    """
    at = data.find(b"fmt ", FIRST_CHUNK) + _CHUNK_HEADER
    encoding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data.ljust(at + 16), at)
    return (rate, channels) if encoding == _PCM and bits == 16 and rate and channels else None


def next_wav(data: bytes, at: int) -> int | None:
    """Return where another WAV begins, at this byte or after more chunks; None: nowhere."""
    while _at_chunk(data, at):
        if is_wav(data, at):
            return at
        at = after_chunk(data, at + _CHUNK_HEADER, _length(data, at))
    return None


def after_chunk(data: bytes, start: int, length: int) -> int:
    """Return the byte after a chunk; an odd length is padded, but not by every writer."""
    end = start + length
    return end if is_wav(data, end) else end + length % 2


def _at_chunk_or_end(data: bytes, at: int) -> bool:
    return at >= len(data) or _at_chunk(data, at)


def _at_chunk(data: bytes, at: int) -> bool:
    name = data[at : at + 4]
    return len(data) >= at + _CHUNK_HEADER and all(32 <= byte < 127 for byte in name)


def _length(data: bytes, at: int) -> int:
    return int.from_bytes(data[at + 4 : at + 8], "little")
