from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.agreement import Agreement, align_prefix
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import keys

WORDS = ["Hello", "hello,", "world.", "and", "then", "你", "好，", "世界。", "Python", "3.14", "…"]
decodes = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=6).flatmap(
        lambda words: st.sampled_from(["", " "]).map(lambda space: space.join(words))
    )
    | st.text(max_size=12),
    max_size=8,
)


def decoded(text: str, *probabilities: float) -> Hypothesis:
    """Return a hypothesis; with probabilities it has words, one for each of them."""
    pieces = text.split(" ")
    words = tuple(
        TimedWord(f" {piece}" if number else piece, 0.0, 0.0, probability)
        for number, (piece, probability) in enumerate(zip(pieces, probabilities, strict=False))
    )
    return Hypothesis(
        text=text,
        language="en",
        language_probability=None,
        tokens=(),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
        words=words or None,
    )


def revisions(texts: list[str]) -> list[Agreement]:
    agreements = [Agreement()]
    for text in texts:
        agreements.append(agreements[-1].revise(decoded(text)))
    return agreements


def after(*texts: str) -> tuple[str, str]:
    last = revisions([*texts])[-1]
    return last.stable, last.tentative


@given(decodes)
def test_stable_text_only_grows(texts: list[str]):
    for before, now in pairwise(revisions(texts)):
        assert now.stable.startswith(before.stable)


@given(decodes)
def test_the_same_decodes_give_the_same_agreement(texts: list[str]):
    assert revisions(texts) == revisions(texts)


@given(decodes)
def test_stable_text_consists_of_whole_units(texts: list[str]):
    for revision in revisions(texts):
        assert tuple(keys(revision.stable)) == revision.stable_keys


@given(decodes, st.text(max_size=12))
def test_a_text_decoded_twice_is_stable_up_to_its_last_punctuation(texts: list[str], text: str):
    last = revisions([*texts, text, text])[-1]
    assert keys(last.tentative) == []


@pytest.mark.parametrize(
    ("texts", "stable", "tentative"),
    [
        (["we"], "", "we"),
        (["we all", "we all agree"], "we all", " agree"),
        (["We all.", "we all agree."], "we all", " agree."),
        (["we all", "we all."], "we all", "."),
        (["we all", "we all, or", "we all, or none"], "we all, or", " none"),
        (["you all", "we all agree"], "", "we all agree"),
        (["你好世", "你好，世界", "你好，世界。我"], "你好，世界", "。我"),
        (["用Pyth", "用Python", "用Python写"], "用Python", "写"),
        (["我想\ufffd", "我想\ufffd"], "我想", ""),
    ],
)
def test_the_common_prefix_of_two_successive_decodes_is_stable(
    texts: list[str], stable: str, tentative: str
):
    assert after(*texts) == (stable, tentative)


@pytest.mark.parametrize(
    ("text", "tentative"),
    [
        ("three, tool things more", " things more"),  # one word differs
        ("one three two things", " things"),  # one word added
        ("two things", " things"),  # one word missing
        ("", ""),
    ],
)
def test_a_decode_that_differs_in_stable_text_is_used_after_its_best_alignment(
    text: str, tentative: str
):
    assert after("three two", "three two", text) == ("three two", tentative)


def test_words_do_not_merge_after_a_decode_without_stable_text():
    assert after("well", "well", "Python") == ("well", "")
    late = Agreement(stable="well", stable_keys=("well",)).revise(decoded(""))
    assert late.revise(decoded("well 你好")).tentative == " 你好"


def stable(*texts: str, probabilities: tuple[float, ...]) -> list[str]:
    """Return the stable text after each of the decodes."""
    agreements = [Agreement()]
    for text in texts:
        agreements.append(agreements[-1].revise(decoded(text, *probabilities)))
    return [each.stable for each in agreements[1:]]


def test_an_improbable_word_and_all_after_it_stay_tentative():
    stables = stable(*["one two three"] * 3, probabilities=(0.6, 0.5, 0.9))
    assert stables == ["", "one", "one two three"]


def test_a_less_probable_word_needs_more_decodes():
    stables = stable(*["one two"] * 4, probabilities=(0.6, 0.4))
    assert stables == ["", "one", "one two", "one two"]


def test_a_word_that_is_unlikely_in_the_newest_decode_is_never_stable():
    assert stable(*["one"] * 9, probabilities=(0.39,))[-1] == ""
    likely, unlikely = decoded("one", 0.9), decoded("one", 0.39)
    assert Agreement().revise(likely).revise(unlikely).stable == ""
    assert Agreement().revise(unlikely).revise(likely).stable == "one"


def test_a_single_decode_is_never_enough():
    assert stable("one", probabilities=(1.0,)) == [""]


def test_likely_words_before_silence_are_stable_at_once():
    hypothesis = decoded("one two three", 0.9, 0.4, 0.39)
    assert Agreement().revise(hypothesis, is_ending=True).stable == "one two"


def test_a_decode_that_differs_resets_the_sum_of_probabilities():
    stables = stable("one two", "one too", "one two", "one two", probabilities=(0.9, 0.5))
    assert stables == ["", "one", "one", "one"]


def test_words_that_a_split_may_move_stay_tentative():
    words = tuple(TimedWord(f" {n}", float(n), n + 1.0, 0.9) for n in range(4))
    hypothesis = replace(decoded(" 0 1 2 3"), words=words)
    agreements = Agreement()
    for _ in range(5):
        agreements = agreements.revise(hypothesis, uncut_s=2.0)
    assert (agreements.stable, agreements.tentative) == ("0 1", " 2 3")


def test_a_unit_has_the_lowest_probability_of_its_words():
    words = (TimedWord("well", 0.0, 0.0, 0.9), TimedWord("-known", 0.0, 0.0, 0.1))
    improbable = replace(decoded("well-known"), words=words)
    assert Agreement().revise(improbable).revise(improbable).stable == ""


def test_revisions_are_counted():
    assert [each.revision for each in revisions(["a", "a b", ""])] == [0, 1, 2, 3]


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_an_alignment_needs_at_least_as_many_edits_as_the_lengths_differ(
    reference: list[str], hypothesis: list[str]
):
    end, edits = align_prefix(reference, hypothesis)
    assert abs(end - len(reference)) <= edits <= max(len(reference), end)


def test_an_alignment_is_exact_if_possible():
    assert align_prefix("abc", "abcde") == (3, 0)
    assert align_prefix("", "abc") == (0, 0)
    assert align_prefix("abc", "bcde") == (2, 1)


@given(st.text("abc", max_size=6), st.text("abc", max_size=8))
def test_a_common_beginning_needs_no_alignment(stable: str, hypothesis: str):
    edits = [levenshtein(stable, hypothesis[:end]) for end in range(len(hypothesis) + 1)]
    best = min(range(len(edits)), key=lambda end: (edits[end], abs(end - len(stable))))
    assert align_prefix(stable, hypothesis) == (best, edits[best])


@cache
def levenshtein(one: str, other: str) -> int:
    if not one or not other:
        return len(one) + len(other)
    shorter = levenshtein(one[1:], other), levenshtein(one, other[1:])
    return min(
        *(each + 1 for each in shorter), levenshtein(one[1:], other[1:]) + (one[0] != other[0])
    )
