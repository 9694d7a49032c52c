from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.patterns import LONGEST_PHRASE, Run, is_loop, longest_run
from consumer.core.text.units import keys


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("", Run()),
        ("no no", Run()),
        ("No, no, NO!", Run(3, 3)),
        ("啊啊啊啊", Run(4, 4)),
        ("词曲 词曲 词曲", Run(6, 3)),
        ("I said thank you, thank you, thank you, thank", Run(7, 3)),
        ("一二三四五六七八九", Run()),
    ],
)
def test_the_longest_run_of_one_phrase_is_found(text: str, run: Run):
    assert longest_run(keys(text)) == run


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
def test_what_nobody_says_is_a_loop(text: str, loops: bool):
    assert is_loop(text) is loops


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=LONGEST_PHRASE), st.integers(3, 6))
def test_a_phrase_that_comes_again_and_again_is_found(phrase: list[str], times: int):
    assert longest_run(phrase * times).units == len(phrase) * times


@given(st.lists(st.integers(), unique=True))
def test_what_never_comes_again_is_no_run(said: list[int]):
    assert longest_run([str(number) for number in said]) == Run()
