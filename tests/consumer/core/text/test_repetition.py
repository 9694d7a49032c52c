from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.patterns import LONGEST_PHRASE, Repetition, is_loop, longest_repetition
from consumer.core.text.units import keys


@pytest.mark.parametrize(
    ("text", "repetition"),
    [
        ("", Repetition()),
        ("no no", Repetition()),
        ("No, no, NO!", Repetition(3, 3)),
        ("啊啊啊啊", Repetition(4, 4)),
        ("词曲 词曲 词曲", Repetition(6, 3)),
        ("I sang thank you, thank you, thank you, thank", Repetition(7, 3)),
        ("一二三四五六七八九", Repetition()),
    ],
)
def test_the_longest_repetition_of_one_phrase_is_found(text: str, repetition: Repetition):
    assert longest_repetition(keys(text)) == repetition


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("对对对对对", False),
        ("no no no no no", False),
        ("five, five, five, two, five, five, five", False),
        ("字幕字幕字幕字幕", True),
        ("and then " * 4, True),
        ("I'm not sure. " * 4, True),
        ("I'm not sure. " * 3, False),
    ],
)
def test_a_loop_has_more_repeats_than_speech(text: str, loops: bool):
    assert is_loop(text) is loops


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=LONGEST_PHRASE), st.integers(3, 6))
def test_a_repeated_phrase_of_any_length_is_found(phrase: list[str], times: int):
    assert longest_repetition(phrase * times).units == len(phrase) * times


@given(st.lists(st.integers(), unique=True))
def test_a_text_without_repeats_has_no_repetition(numbers: list[int]):
    assert longest_repetition([str(number) for number in numbers]) == Repetition()
