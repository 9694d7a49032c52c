"""Counters hidden in the lowest bit of every sample of real speech.

    block = 320 samples (20 ms): sync 32 bits | stream 24 | flags 8 | block 32 | crc32 | zeros

The number of a test stream is unique in a run, and its blocks count from 0. A whole code names the
sample at which it begins, so any piece of a stream that holds one can be located to the sample. The
samples reach a transcriber unchanged at 16 kHz.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from consumer.core.audio.utterance import Int16Array

BLOCK: Final = 320  # samples
_SYNC: Final = 0x5EC0DE1B.to_bytes(4)
_CODE_BITS: Final = 128
_POISON: Final = 1
_FLAGS: Final = (0, _POISON)

Bits = npt.NDArray[np.uint8]

_SYNC_BITS: Final = np.unpackbits(np.frombuffer(_SYNC, np.uint8)).tobytes()  # a byte each


class Piece(NamedTuple):
    """A stretch of a test stream, [start, end) in samples."""

    stream: int
    start: int
    end: int
    poisoned: bool = False  # holds a block that ends the oracle's process


def hide(samples: Int16Array, stream: int, poison: Collection[int] = ()) -> Int16Array:
    """Return the samples [n] of a stream with counters. `poison`: numbers of blocks to flag."""
    numbers = range(len(samples) // BLOCK + 1)
    blocks = [_block(stream, number, _POISON if number in poison else 0) for number in numbers]
    bits = np.concatenate(blocks)[: len(samples)]
    return (samples & ~np.int16(1)) | bits.astype(np.int16)


def find(samples: Int16Array) -> list[Piece]:
    """Return the pieces that the samples consist of, in order; samples without code are skipped."""
    return [*_pieces((samples & 1).astype(np.uint8))]


def _pieces(bits: Bits) -> Iterator[Piece]:
    done = 0
    while (code := _next_code(bits, done)) is not None:
        at, stream, block = code
        before = _tail_length(bits[done:at], stream, block - 1)
        end, poisoned = _follow(bits, at, stream, block)
        first = block * BLOCK
        yield Piece(stream, first - before, first + end - at, poisoned)
        done = end


def _next_code(bits: Bits, begin: int) -> tuple[int, int, int] | None:
    """Return position, stream and block of the first whole code from `begin` on."""
    for at in _syncs(bits, begin):
        code = np.packbits(bits[at : at + _CODE_BITS]).tobytes()
        if zlib.crc32(code[:12]) == int.from_bytes(code[12:]):
            return at, int.from_bytes(code[4:7]), int.from_bytes(code[8:12])
    return None


def _syncs(bits: Bits, begin: int) -> Iterator[int]:
    """Yield the positions of sync words that leave room for a code."""
    content, end = bits.tobytes(), len(bits) - _CODE_BITS + len(_SYNC_BITS)
    while (begin := content.find(_SYNC_BITS, begin, end)) >= 0:
        yield begin
        begin += 1


def _tail_length(bits: Bits, stream: int, block: int) -> int:
    """Return how many of the last bits are the end of the block: all that remain, or none."""
    tail = bits[max(0, len(bits) - BLOCK + 1) :]
    if block < 0:
        return 0
    equal = (_block(stream, block, flags)[BLOCK - len(tail) :] == tail for flags in _FLAGS)
    return len(tail) if any(same.all() for same in equal) else 0


def _follow(bits: Bits, at: int, stream: int, block: int) -> tuple[int, bool]:
    """Return where the stream that has a block at `at` stops, and whether any block is poison."""
    poisoned = False
    while at < len(bits):
        here = bits[at : at + BLOCK]
        equal, flags = max((_equal(here, _block(stream, block, flags)), flags) for flags in _FLAGS)
        whole_code = equal >= _CODE_BITS
        poisoned |= whole_code and flags == _POISON
        if whole_code or equal == len(here):  # else it is another stream's, with an equal beginning
            at += equal
        if equal < BLOCK:
            break
        block += 1
    return at, poisoned


def _equal(bits: Bits, block: Bits) -> int:
    """Return the length of the common prefix."""
    differ = np.flatnonzero(bits != block[: len(bits)])
    return int(differ[0]) if len(differ) else len(bits)


def _block(stream: int, block: int, flags: int) -> Bits:
    code = _SYNC + stream.to_bytes(3) + bytes((flags,)) + block.to_bytes(4)
    code += zlib.crc32(code).to_bytes(4)
    return np.unpackbits(np.frombuffer(code.ljust(BLOCK // 8, b"\0"), np.uint8))
