from __future__ import annotations

from bench.live.borders import Damage, damage

SAID = ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def cut_after(*pieces: str, whole: str = " ".join(SAID)) -> Damage:
    words = [piece.split() for piece in pieces]
    return damage(SAID, whole.split(), words, range(len(pieces) - 1))


def test_a_clean_cut_costs_nothing():
    assert cut_after("one two three four", "five six seven eight") == Damage(cuts=1)


def test_a_word_that_is_absent_at_the_cut_is_lost():
    assert cut_after("one two three", "five six seven eight") == Damage(cuts=1, lost=1)


def test_a_word_on_both_sides_of_the_cut_is_doubled():
    assert cut_after("one two three four", "four five six seven eight") == Damage(cuts=1, doubled=1)


def test_another_word_at_the_cut_is_changed():
    assert cut_after("one two three for", "five six seven eight") == Damage(cuts=1, changed=1)


def test_what_the_whole_clip_has_wrong_too_is_the_models():
    found = cut_after("one two three", "five six seven eight", whole="one two three five six seven")
    assert found == Damage(cuts=1)


def test_errors_far_from_the_cut_are_not_its():
    assert cut_after("two three four", "five six seven ate") == Damage(cuts=1)


def test_an_added_word_that_repeats_nothing_is_no_double():
    assert cut_after("one two three four uh", "five six seven eight").doubled == 0


def test_no_cut_no_damage():
    assert damage(SAID, SAID, [["one"]], []) == Damage()


def test_nothing_live_is_told_by_the_error_rate():
    assert damage(SAID, SAID, [[], []], [0]) == Damage(cuts=1)


def test_damages_add_up():
    assert Damage(1, 2, 3, 4) + Damage(1, 1, 1, 1) == Damage(2, 3, 4, 5)
