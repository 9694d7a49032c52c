from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality.recordings import recordings
from bench.robustness.chaos.hidden_counters import BLOCK, Piece, find, hide
from consumer.core.audio.samples import from_float, to_float
from evaluation.samples import SAMPLES

NOISE = np.random.default_rng(1).integers(-3000, 3000, 20 * BLOCK).astype(np.int16)
CODE = 128  # samples that a code needs


@given(st.integers(0, 19 * BLOCK), st.integers(0, 20 * BLOCK), st.integers(0, 2**24 - 1))
def test_any_stretch_with_a_whole_code_is_named_to_the_sample(
    start: int, length: int, stream: int
) -> None:
    sound = hide(NOISE, stream)
    end = min(len(sound), start + length)
    first_code = -(-start // BLOCK) * BLOCK
    expected = [Piece(stream, start, end)] if first_code + CODE <= end else []
    assert find(sound[start:end]) == expected


def test_the_sound_is_the_same_but_for_the_lowest_bit() -> None:
    assert np.abs(hide(NOISE, 9).astype(int) - NOISE).max() == 1


def test_a_hole_and_a_repeat_are_detected() -> None:
    sound = hide(NOISE, 3)
    blocks = np.split(sound, 20)
    holed = find(np.concatenate(blocks[2:5] + blocks[7:9]))
    assert holed == [Piece(3, 2 * BLOCK, 5 * BLOCK), Piece(3, 7 * BLOCK, 9 * BLOCK)]
    repeated = find(np.concatenate(blocks[:3] + blocks[1:4]))
    assert repeated == [Piece(3, 0, 3 * BLOCK), Piece(3, BLOCK, 4 * BLOCK)]


def test_one_changed_bit_ends_a_piece() -> None:
    sound = hide(NOISE, 3)
    sound[5 * BLOCK + 200] ^= 1
    assert [(p.start // BLOCK, p.end // BLOCK) for p in find(sound)] == [(0, 5), (6, 20)]


def test_two_streams_are_two_pieces() -> None:
    sound = np.concatenate((hide(NOISE, 1)[3 * BLOCK : 5 * BLOCK], hide(NOISE[:BLOCK], 2)))
    assert find(sound) == [Piece(1, 3 * BLOCK, 5 * BLOCK), Piece(2, 0, BLOCK)]


@pytest.mark.parametrize("length", [0, 1, CODE, 5000])
def test_sound_without_codes_has_no_pieces(length: int) -> None:
    assert find(NOISE[:length]) == []


def test_a_poisoned_block_is_detected_wherever_the_cut_lies() -> None:
    sound = hide(NOISE, 5, poison={8})
    assert find(sound[100:]) == [Piece(5, 100, len(sound), poisoned=True)]
    assert not find(sound[: 8 * BLOCK])[0].poisoned


def test_the_counters_of_real_speech_survive_the_way_through_the_service() -> None:
    speech = from_float(recordings(SAMPLES)[0].samples)
    received = to_float(hide(speech, 11))  # as a transcriber gets it
    stereo = np.stack([hide(speech, 11)] * 2, axis=1).astype(np.int32).sum(axis=1) // 2
    whole = [Piece(11, 0, len(speech))]
    assert find(np.rint(received * 32768).astype(np.int16)) == whole
    assert find(stereo.astype(np.int16)) == whole
