from __future__ import annotations

from bench.engine.accuracy import AccuracyResult, LanguageAccuracy, is_same, share
from evaluation.scoring import Score


def english(dtype: str, errors: int) -> LanguageAccuracy:
    perfect = (Score(0, 500), Score(0, 500))
    folded = (Score(errors + 1, 500), Score(0, 500))
    served = (Score(errors, 500), Score(0, 500))
    return LanguageAccuracy(dtype, "en", perfect, folded, perfect, served, 0.5, 0.25)


def test_texts_are_the_same_whatever_their_case_punctuation_and_script():
    assert is_same("Hello, World!", "hello world", "en")
    assert is_same("現在。", "现在", "zh")
    assert not is_same("hello", "hallo", "en")


def test_a_share_of_no_answers_is_one():
    assert share([True, False, True, True]) == 0.75
    assert share([]) == 1


def test_checks_allow_more_in_16_bits():
    languages = tuple(english(dtype, 5) for dtype in ("fp32", "bf16"))
    result = AccuracyResult(languages, {"fp32": 0.95, "bf16": 0.95}, 20)
    found = {check.name: check for check in result.checks()}
    assert [check.ok for check in found.values()] == [False, True, False, True]
    assert found["en.streamscribe-bf16.worse_points"].value == 0.5
    assert found["streamscribe-fp32.batch_1_and_16_same"].limit == 0.99


def test_better_than_the_reference_is_no_failure():
    few, many = (Score(1, 99),), (Score(9, 99),)
    better = LanguageAccuracy("fp32", "en", many, few, few, few, 1, 0)
    result = AccuracyResult((english("fp32", 0), better), {}, 0)
    assert all(check.ok for check in result.checks())


def test_figures_have_rates_differences_and_shares():
    found = AccuracyResult((english("bf16", 5),), {"bf16": 0.9}, 20).figures()
    assert found["en.openai-whisper.error_percent"] == 0
    assert found["en.streamscribe-bf16.error_percent"] == 0.5
    assert found["en.streamscribe-bf16.worse_points"] == 0.5
    assert found["en.streamscribe-bf16.worse_high_points"] == 1
    assert found["en.streamscribe-bf16.folded_worse_points"] == 0.6
    assert found["en.streamscribe-bf16.decoded_again"] == 0.25
    assert found["en.streamscribe-bf16.same_text_as_padded"] == 0.5
    assert found["streamscribe-bf16.batch_1_and_16_same"] == 0.9
    assert found["batch_invariance.clips"] == 20
