from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scoring import ErrorUnit, Score, score, tokens, total, unit_of


def test_english_is_scored_in_normalised_words():
    assert score("Mr. Brown, a colour: twenty-one!", "mister brown a color 21", "en") == Score(0, 5)


def test_chinese_is_scored_in_characters_without_script_width_and_punctuation():
    assert score("自动驾驶汽车ＡＢ", "自動駕駛，汽車 ab。", "zh") == Score(0, 8)


def test_digits_and_chinese_numerals_are_different():
    assert score("三点", "3点", "zh") == Score(1, 2)


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        ("red green blue", 0),
        ("red grin blue", 1),
        ("red blue", 1),
        ("red green and blue", 1),
        ("", 3),
    ],
)
def test_each_edit_counts_once(hypothesis: str, errors: int):
    assert score("red green blue", hypothesis, "en").errors == errors


def test_an_error_rate_may_exceed_one():
    assert score("嗯", "谢谢观看", "zh").rate == 4.0


def test_an_empty_reference_is_rejected():
    with pytest.raises(ValueError, match="no characters in the reference"):
        score("……", "谢谢", "zh")


def test_a_total_rate_is_weighted_by_reference_length():
    assert total([Score(1, 2), Score(0, 8)]) == Score(1, 10)
    assert total([Score(1, 2), Score(0, 8)]).rate == 0.1


@pytest.mark.parametrize(
    ("language", "unit", "rate"),
    [("en", ErrorUnit.WORDS, "WER"), ("zh", ErrorUnit.CHARACTERS, "CER")],
)
def test_each_language_is_scored_in_its_unit(language: str, unit: ErrorUnit, rate: str):
    assert unit_of(language) is unit
    assert unit.rate_name == rate


@given(text=st.text(min_size=1), language=st.sampled_from(["en", "zh"]))
def test_a_text_has_no_errors_against_itself(text: str, language: str):
    if tokens(text, language):
        assert score(text, text, language).errors == 0
