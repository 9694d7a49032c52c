from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.engine.shared_audio import (
    ALIGNMENT,
    Allocator,
    AudioBlock,
    SharedAudio,
    WrittenAudio,
)

SIZE = 64 * ALIGNMENT


@given(st.lists(st.one_of(st.integers(0, SIZE), st.none()), max_size=60), st.randoms())
def test_allocated_ranges_are_apart_and_freed_ones_are_merged(
    sizes: list[int | None], random: np.random.Generator
) -> None:
    """A size allocates, None frees one of those that are held."""
    allocator, held = Allocator(SIZE), dict[int, int]()
    for size in sizes:
        if size is None and held:
            offset = random.choice(sorted(held))
            allocator.free(offset, held.pop(offset))
        elif size is not None and (offset := allocator.allocate(size)) is not None:
            held[offset] = size
        spans = sorted((offset, offset + max(1, size)) for offset, size in held.items())
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
        assert all(begin >= 0 and end <= SIZE for begin, end in spans)
    for offset, size in held.items():
        allocator.free(offset, size)
    assert allocator.free_bytes == SIZE
    assert allocator.allocate(SIZE) == 0


def test_a_full_memory_has_room_again_after_a_free() -> None:
    allocator = Allocator(2 * ALIGNMENT)
    first, second = allocator.allocate(1), allocator.allocate(ALIGNMENT)
    assert (first, second, allocator.allocate(1)) == (0, ALIGNMENT, None)
    allocator.free(0, 1)
    assert allocator.allocate(1) == 0


def test_the_other_process_reads_what_was_written() -> None:
    written = WrittenAudio(1 << 16)
    shared = SharedAudio(os.dup(written.descriptor), 1 << 16)
    clips = [np.arange(length, dtype=np.int16)[::-1] for length in (1000, 0, 3)]
    blocks = [written.write(clip) for clip in clips]
    for clip, block in zip(clips, blocks, strict=True):
        assert block is not None
        assert np.array_equal(shared.read(block), clip)
    written.close()
    shared.close()


@pytest.mark.parametrize(
    "block", [AudioBlock(-64, 10), AudioBlock(4090, 4), AudioBlock(0, -1), AudioBlock(1 << 40, 1)]
)
def test_a_block_outside_the_memory_is_rejected(block: AudioBlock) -> None:
    written = WrittenAudio(4096)
    shared = SharedAudio(written.descriptor, 4096)
    with pytest.raises(ValueError, match="outside"):
        shared.read(block)
    written.close()
    shared.close()
