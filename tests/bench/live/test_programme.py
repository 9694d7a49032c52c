from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.live.programme import MIN_GAP_S, TAIL_S, Placed, Programme, Spoken, conversation, joined

RATE = 16_000


def clip(name: str, seconds: float = 2.0) -> Spoken:
    samples = np.full(round(seconds * RATE), 7, np.int16)
    return Spoken(name, "en", name, samples, ((RATE // 10, len(samples) - RATE // 10),))


CLIPS = [clip("one"), clip("two", 3.0), clip("three", 5.0)]


@given(st.integers(0, 1000), st.floats(20.0, 300.0))
def test_somebody_speaks_for_the_share_that_was_asked_for(seed: int, seconds: float):
    made = conversation("s", CLIPS, seconds, seed)
    tail_s = TAIL_S * made.talk
    assert made.talk * made.seconds == pytest.approx(0.45 * made.seconds, abs=0.1 + tail_s)
    assert made.talk * made.seconds >= 0.45 * seconds


@given(st.integers(0, 1000))
def test_clips_lie_apart(seed: int):
    made = conversation("s", CLIPS, 60.0, seed)
    gaps = [after.start - before.end for before, after in pairwise(made.placed)]
    assert min(gaps) >= MIN_GAP_S * RATE
    assert made.length - made.placed[-1].end == TAIL_S * RATE


def test_a_seed_and_a_name_make_a_stream():
    def order(seed: int, name: str) -> list[tuple[str, int]]:
        return [(p.clip.name, p.start) for p in conversation(name, CLIPS, 60.0, seed).placed]

    assert order(1, "a") == order(1, "a")
    assert order(1, "a") != order(1, "b")
    assert order(1, "a") != order(2, "a")


def test_no_clip_comes_again_before_all_others_came():
    names = [p.clip.name for p in conversation("s", CLIPS, 120.0, 3).placed]
    assert {*names[:3]} == {"one", "two", "three"}
    assert names[:3] == names[3:6]


def test_no_clips_make_no_stream():
    with pytest.raises(ValueError, match="no clips"):
        conversation("s", [], 10.0, 1)


@given(st.integers(1, 5000))
def test_any_portions_make_the_same_sound(step: int):
    short = Spoken("x", "en", "x", np.arange(900, dtype=np.int16), ((0, 900),))
    noise = np.array([1, -1, 2], np.int16)
    made = Programme("s", "en", (Placed(short, 100), Placed(short, 1500)), 2500, noise)
    whole = made.samples(0, made.length)
    parts = [made.samples(at, min(made.length, at + step)) for at in range(0, made.length, step)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole[:3].tolist() == [1, -1, 2]
    assert whole[101] == 1 + noise[101 % 3]


def test_speech_is_counted_from_the_stream():
    made = joined("s", CLIPS[:2], [RATE, 2 * RATE])
    first, second = made.placed
    assert (first.start, second.start) == (RATE, 5 * RATE)
    assert (second.speech_start, second.speech_end) == (5.1 * RATE, 7.9 * RATE)
