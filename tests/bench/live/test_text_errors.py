from __future__ import annotations

import pytest

from bench.live.text_errors import (
    CutErrors,
    TextPair,
    cut_checks,
    cut_errors,
    text_checks,
    text_figures,
)

REFERENCE = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def errors_of(*pieces: str, whole: str = " ".join(REFERENCE)) -> CutErrors:
    words = [piece.split() for piece in pieces]
    return cut_errors(REFERENCE, whole.split(), words, range(len(pieces) - 1))


def test_a_clean_cut_has_no_errors():
    assert errors_of("one two three four", "five six seven eight") == CutErrors(cuts=1)


def test_a_word_that_is_absent_at_the_cut_is_lost():
    assert errors_of("one two three", "five six seven eight") == CutErrors(cuts=1, lost=1)


def test_a_word_on_both_sides_of_the_cut_is_doubled():
    found = errors_of("one two three four", "four five six seven eight")
    assert found == CutErrors(cuts=1, doubled=1)


def test_another_word_at_the_cut_is_changed():
    assert errors_of("one two three for", "five six seven eight") == CutErrors(cuts=1, changed=1)


def test_a_word_that_the_whole_clip_has_wrong_too_is_no_error_of_the_cut():
    found = errors_of("one two three", "five six seven eight", whole="one two three five six seven")
    assert found == CutErrors(cuts=1)


def test_errors_far_from_the_cut_do_not_count():
    assert errors_of("two three four", "five six seven ate") == CutErrors(cuts=1)


def test_an_inserted_word_that_repeats_nothing_is_not_doubled():
    assert errors_of("one two three four uh", "five six seven eight").doubled == 0


def test_without_cuts_there_are_no_errors():
    assert cut_errors(REFERENCE, REFERENCE, [["one"]], []) == CutErrors()


def test_without_live_text_only_the_cuts_count():
    assert cut_errors(REFERENCE, REFERENCE, [[], []], [0]) == CutErrors(cuts=1)


def test_errors_add_up():
    assert CutErrors(1, 2, 3, 4) + CutErrors(1, 1, 1, 1) == CutErrors(2, 3, 4, 5)


def test_lost_and_doubled_words_fail_their_checks():
    lost, doubled = cut_checks(CutErrors(cuts=2, lost=1, doubled=0, changed=3).figures())
    assert (lost.value, lost.ok, doubled.ok) == (1, False, True)


def test_live_text_is_scored_beside_the_decode_of_whole_clips():
    pairs = [
        TextPair("en", "red green blue white", whole="red green blue white", live="red green blue"),
        TextPair("zh", "你好", whole="", live="你好"),
    ]
    figures = text_figures(pairs)
    assert (figures["en.wer_percent"], figures["en.whole_wer_percent"]) == (25, 0)
    assert (figures["en.worse_points"], figures["en.wer_against_whole_percent"]) == (25, 25)
    assert (figures["zh.worse_points"], figures["zh.cer_against_whole_percent"]) == (-100, None)
    assert [(check.value, check.ok) for check in text_checks(figures)] == [
        (pytest.approx(25), False),
        (pytest.approx(-100), True),
    ]
