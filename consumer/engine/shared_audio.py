"""The samples of jobs, in memory that a worker and the engine process map.

The worker writes and allocates; the engine only reads. The memory has no name: it is freed with the
last process that maps it, however that process ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left, insort
from typing import Final, NamedTuple

import numpy as np

from consumer.core.audio.utterance import Int16Array

ALIGNMENT: Final = 64  # bytes: a cache line
_SAMPLE_BYTES: Final = 2


class AudioBlock(NamedTuple):
    """The location of some samples."""

    offset: int  # bytes
    length: int  # samples


class Allocator:
    """The free ranges of a memory of `size` bytes: first fit."""

    def __init__(self, size: int) -> None:
        self._free = [(0, size)]  # (begin, end), in order, apart from each other

    @property
    def free_bytes(self) -> int:
        return sum(end - begin for begin, end in self._free)

    def allocate(self, size: int) -> int | None:
        """Return the offset of `size` bytes, or None without a free range of that size."""
        size = _aligned(size)
        for index, (begin, end) in enumerate(self._free):
            if end - begin >= size:
                rest = [(begin + size, end)] if end - begin > size else []
                self._free[index : index + 1] = rest
                return begin
        return None

    def free(self, offset: int, size: int) -> None:
        """Free what `allocate` returned for `size`, and merge it with its neighbours."""
        begin, end = offset, offset + _aligned(size)
        at = bisect_left(self._free, (begin, end))
        if at < len(self._free) and self._free[at][0] == end:
            end = self._free.pop(at)[1]
        if at and self._free[at - 1][1] == begin:
            begin = self._free.pop(at - 1)[0]
        insort(self._free, (begin, end))


class WrittenAudio:
    """The worker's side: the memory, and which of it is in use."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = _anonymous_file(size)
        self._map = mmap.mmap(self.descriptor, size)
        self._allocator = Allocator(size)

    @property
    def is_empty(self) -> bool:
        return self._allocator.free_bytes == self.size

    def write(self, samples: Int16Array) -> AudioBlock | None:
        """Copy [n] samples into the memory, or return None if there is no room for them now."""
        offset = self._allocator.allocate(samples.nbytes)
        if offset is None:
            return None
        self._map[offset : offset + samples.nbytes] = np.ascontiguousarray(samples).data.cast("B")
        return AudioBlock(offset, len(samples))

    def free(self, block: AudioBlock) -> None:
        """Free a block that the engine does not need any more."""
        self._allocator.free(block.offset, block.length * _SAMPLE_BYTES)

    def close(self) -> None:
        self._map.close()
        os.close(self.descriptor)


class SharedAudio:
    """The engine's side: reads blocks of a worker's memory."""

    def __init__(self, descriptor: int, size: int) -> None:
        """Map the file; the descriptor may be closed then.

        Raises `ValueError`, `OSError` if the file is smaller than `size`.
        """
        self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)

    def read(self, block: AudioBlock) -> Int16Array:
        """Return a copy of the block, [length]. Raises `ValueError` if it is outside the memory."""
        end = block.offset + block.length * _SAMPLE_BYTES
        if not 0 <= block.offset <= end <= len(self._map):
            raise ValueError("samples outside the shared memory")
        return np.frombuffer(self._map[block.offset : end], np.int16)

    def close(self) -> None:
        self._map.close()


def _anonymous_file(size: int) -> int:
    """Return the descriptor of a file of `size` bytes without a name, in memory where possible."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("streamscribe-audio")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _aligned(size: int) -> int:
    return max(ALIGNMENT, -(-size // ALIGNMENT) * ALIGNMENT)
