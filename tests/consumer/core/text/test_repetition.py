from __future__ import annotations

import pytest
import whisper.utils
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.patterns import (
    LONGEST_PHRASE,
    Repetition,
    compression_ratio,
    longest_repetition,
)
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
    assert longest_repetition(keys(text)).is_loop is loops


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=LONGEST_PHRASE), st.integers(3, 6))
def test_a_repeated_phrase_of_any_length_is_found(phrase: list[str], times: int):
    assert longest_repetition(phrase * times).units == len(phrase) * times


@given(st.lists(st.integers(), unique=True))
def test_a_text_without_repeats_has_no_repetition(numbers: list[int]):
    assert longest_repetition([str(number) for number in numbers]) == Repetition()


@given(st.lists(st.sampled_from("abcde"), max_size=30))
def test_no_repetition_is_left_out(text_keys: list[str]):
    repeats = [
        Repetition(length, length // of)
        for of in range(1, LONGEST_PHRASE + 1)
        for length in range(3 * of, len(text_keys) + 1)
        for at in range(len(text_keys) - length + 1)
        if text_keys[at : at + length - of] == text_keys[at + of : at + length]
    ]
    assert longest_repetition(text_keys) == max(repeats, default=Repetition())


@given(st.lists(st.sampled_from(["no", " no", "对对", "é", "🙂 ok"]), max_size=900))
def test_the_compression_ratio_is_that_of_openai_whisper(parts: list[str]):
    text = "".join(parts)
    assert compression_ratio(text) == whisper.utils.compression_ratio(text)
