"""Counters hidden in the lowest bit of every sample of real speech.

    block = 320 samples (20 ms): sync 32 bits | take 24 | flags 8 | block number 32 | crc32 | zeros

A *take* is one recital of a stream: its number is unique in a run, its blocks count from 0. Any
whole code names the sample that it stands at, so whoever holds a piece of a take can say, to the
sample, which piece it is. The samples reach a transcriber unchanged at 16 kHz.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from consumer.core.audio.utterance import Int16Array

BLOCK: Final = 320  # samples
MAX_TAKE: Final = (1 << 24) - 1
_SYNC: Final = 0x5EC0DE1B.to_bytes(4)
_CODE_BITS: Final = 128
_POISON: Final = 1
_FLAGS: Final = (0, _POISON)

Bits = npt.NDArray[np.uint8]

_SYNC_SIGNS: Final = np.unpackbits(np.frombuffer(_SYNC, np.uint8)).astype(np.float32) * 2 - 1


class Piece(NamedTuple):
    """A stretch of a take."""

    take: int
    start: int  # sample
    end: int  # exclusive
    poisoned: bool = False  # holds a block that no engine survives


def hide(
    samples: Int16Array, take: int, start: int = 0, poison: Collection[int] = ()
) -> Int16Array:
    """The same sound [n], of a take from sample `start` on; `poison`: numbers of blocks."""
    first, last = start // BLOCK, (start + len(samples)) // BLOCK
    blocks = [
        _block(take, number, _POISON if number in poison else 0)
        for number in range(first, last + 1)
    ]
    bits = np.concatenate(blocks)[start - first * BLOCK :][: len(samples)]
    return (samples & ~np.int16(1)) | bits.astype(np.int16)


def find(samples: Int16Array) -> list[Piece]:
    """The pieces that the samples are made of, in order; what bears no code is left out."""
    return [*_pieces((samples & 1).astype(np.uint8))]


def _pieces(bits: Bits) -> Iterator[Piece]:
    known = 0  # all before is told
    while (code := _next_code(bits, known)) is not None:
        place, take, block = code
        before = _tail(bits[known:place], take, block - 1)
        end, poisoned = _follow(bits, place, take, block)
        first = block * BLOCK
        yield Piece(take, first - before, first + end - place, poisoned)
        known = end


def _next_code(bits: Bits, begin: int) -> tuple[int, int, int] | None:
    """Place, take and block of the first whole code from `begin` on."""
    for place in _syncs(bits, begin):
        code = np.packbits(bits[place : place + _CODE_BITS]).tobytes()
        if zlib.crc32(code[:12]) == int.from_bytes(code[12:]):
            return place, int.from_bytes(code[4:7]), int.from_bytes(code[8:12])
    return None


def _syncs(bits: Bits, begin: int) -> list[int]:
    """Places of the sync word that leave room for a code."""
    if len(bits) - begin < _CODE_BITS:
        return []
    signs = bits[begin : len(bits) - _CODE_BITS + len(_SYNC_SIGNS)].astype(np.float32) * 2 - 1
    matches = np.correlate(signs, _SYNC_SIGNS, "valid") == len(_SYNC_SIGNS)
    return (np.flatnonzero(matches) + begin).tolist()


def _tail(bits: Bits, take: int, block: int) -> int:
    """How many bits at the end are the end of a block; all that are left of it, or none."""
    tail = bits[max(0, len(bits) - BLOCK + 1) :]
    if block < 0:
        return 0
    alike = (_block(take, block, flags)[BLOCK - len(tail) :] == tail for flags in _FLAGS)
    return len(tail) if any(same.all() for same in alike) else 0


def _follow(bits: Bits, place: int, take: int, block: int) -> tuple[int, bool]:
    """Where the take stops that has a block at `place`, and whether any block was poison."""
    poisoned = False
    while place < len(bits):
        here = bits[place : place + BLOCK]
        agreed, flags = max((_agreed(here, _block(take, block, flags)), flags) for flags in _FLAGS)
        whole_code = agreed >= _CODE_BITS
        poisoned |= whole_code and flags == _POISON
        if whole_code or agreed == len(here):  # else it is another's, which begins alike
            place += agreed
        if agreed < BLOCK:
            break
        block += 1
    return place, poisoned


def _agreed(bits: Bits, block: Bits) -> int:
    """How many bits agree from the first on."""
    differ = np.flatnonzero(bits != block[: len(bits)])
    return int(differ[0]) if len(differ) else len(bits)


def _block(take: int, block: int, flags: int) -> Bits:
    code = _SYNC + take.to_bytes(3) + bytes((flags,)) + block.to_bytes(4)
    code += zlib.crc32(code).to_bytes(4)
    return np.unpackbits(np.frombuffer(code.ljust(BLOCK // 8, b"\0"), np.uint8))
