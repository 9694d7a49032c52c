from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.live.conversations import (
    MIN_GAP_S,
    TAIL_S,
    Conversation,
    PlacedClip,
    SpeechClip,
    draw_conversation,
    join_clips,
)

RATE = 16_000


def clip(name: str, seconds: float = 2.0) -> SpeechClip:
    samples = np.full(round(seconds * RATE), 7, np.int16)
    return SpeechClip(name, "en", name, samples, ((RATE // 10, len(samples) - RATE // 10),))


CLIPS = [clip("one"), clip("two", 3.0), clip("three", 5.0)]


@given(st.integers(0, 1000), st.floats(20.0, 300.0))
def test_a_conversation_has_the_share_of_speech_and_at_least_the_length(seed: int, seconds: float):
    made = draw_conversation("s", CLIPS, seconds, seed)
    tail_s = TAIL_S * made.speech_s / made.seconds
    assert made.speech_s == pytest.approx(0.45 * made.seconds, abs=0.1 + tail_s)
    assert made.speech_s >= 0.45 * seconds


@given(st.integers(0, 1000))
def test_clips_are_apart(seed: int):
    made = draw_conversation("s", CLIPS, 60.0, seed)
    gaps = [after.start - before.end for before, after in pairwise(made.clips)]
    assert min(gaps) >= MIN_GAP_S * RATE
    assert made.length - made.clips[-1].end == TAIL_S * RATE


def test_seed_and_name_determine_a_conversation():
    def order(seed: int, name: str) -> list[tuple[str, int]]:
        return [(p.clip.name, p.start) for p in draw_conversation(name, CLIPS, 60.0, seed).clips]

    assert order(1, "a") == order(1, "a")
    assert order(1, "a") != order(1, "b")
    assert order(1, "a") != order(2, "a")


def test_no_clip_is_repeated_before_all_others_were_drawn():
    names = [p.clip.name for p in draw_conversation("s", CLIPS, 120.0, 3).clips]
    assert {*names[:3]} == {"one", "two", "three"}
    assert names[:3] == names[3:6]


def test_a_conversation_without_clips_is_an_error():
    with pytest.raises(ValueError, match="needs clips"):
        draw_conversation("s", [], 10.0, 1)


@given(st.integers(1, 5000))
def test_samples_do_not_depend_on_how_they_are_asked_for(step: int):
    short = SpeechClip("x", "en", "x", np.arange(900, dtype=np.int16), ((0, 900),))
    noise = np.array([1, -1, 2], np.int16)
    placed = (PlacedClip(short, 100), PlacedClip(short, 1500))
    made = Conversation("s", "en", placed, 2500, noise=noise)
    whole = made.samples(0, made.length)
    parts = [made.samples(at, min(made.length, at + step)) for at in range(0, made.length, step)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert whole[:3].tolist() == [1, -1, 2]
    assert whole[101] == 1 + noise[101 % 3]


def test_speech_is_placed_in_the_stream():
    first, second = join_clips("s", CLIPS[:2], [RATE, 2 * RATE]).clips
    assert (first.start, second.start) == (RATE, 5 * RATE)
    assert second.speech_s == (5.1, 7.9)


def test_the_texts_of_clips_are_joined_in_order():
    made = join_clips("s", CLIPS, [0, 0, 0])
    assert made.joined({"three": "c", "two": "b", "one": "a"}) == "a b c"
