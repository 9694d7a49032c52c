from __future__ import annotations

from dataclasses import replace
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
    """A hypothesis; with probabilities, each word is of one."""
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
    made = [Agreement()]
    for text in texts:
        made.append(made[-1].revise(decoded(text)))
    return made


def after(*texts: str) -> tuple[str, str]:
    last = revisions([*texts])[-1]
    return last.stable, last.tentative


@given(decodes)
def test_stable_text_only_grows(texts: list[str]):
    for before, now in pairwise(revisions(texts)):
        assert now.stable.startswith(before.stable)


@given(decodes)
def test_the_same_decodes_make_the_same_text(texts: list[str]):
    assert revisions(texts) == revisions(texts)


@given(decodes)
def test_what_is_stable_is_made_of_whole_units(texts: list[str]):
    for revision in revisions(texts):
        assert tuple(keys(revision.stable)) == revision.stable_keys


@given(decodes, st.text(max_size=12))
def test_a_text_that_comes_twice_is_stable_up_to_its_last_punctuation(texts: list[str], text: str):
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
def test_what_two_decodes_in_a_row_say_alike_is_stable(
    texts: list[str], stable: str, tentative: str
):
    assert after(*texts) == (stable, tentative)


@pytest.mark.parametrize(
    ("text", "tentative"),
    [
        ("three, tool things more", " things more"),  # another word in its place
        ("one three two things", " things"),  # a word more
        ("two things", " things"),  # a word less
        ("", ""),
    ],
)
def test_a_decode_that_differs_in_stable_text_is_read_behind_it(text: str, tentative: str):
    assert after("three two", "three two", text) == ("three two", tentative)


def test_words_do_not_merge_where_a_decode_begins_late():
    assert after("well", "well", "Python") == ("well", "")
    late = Agreement(stable="well", stable_keys=("well",)).revise(decoded(""))
    assert late.revise(decoded("well 你好")).tentative == " 你好"


def stable(*texts: str, probabilities: tuple[float, ...]) -> list[str]:
    """After each of the decodes."""
    made = [Agreement()]
    for text in texts:
        made.append(made[-1].revise(decoded(text, *probabilities)))
    return [each.stable for each in made[1:]]


def test_a_doubted_word_waits_and_so_does_what_follows():
    told = stable(*["one two three"] * 3, probabilities=(0.6, 0.5, 0.9))
    assert told == ["", "one", "one two three"]


def test_the_more_a_word_is_doubted_the_more_decodes_have_to_say_it():
    told = stable(*["one two"] * 4, probabilities=(0.6, 0.4))
    assert told == ["", "one", "one two", "one two"]


def test_what_the_newest_decode_holds_for_unlikely_is_never_stable():
    assert stable(*["one"] * 9, probabilities=(0.39,))[-1] == ""
    likely, unlikely = decoded("one", 0.9), decoded("one", 0.39)
    assert Agreement().revise(likely).revise(unlikely).stable == ""
    assert Agreement().revise(unlikely).revise(likely).stable == "one"


def test_a_single_decode_is_never_enough():
    assert stable("one", probabilities=(1.0,)) == [""]


def test_what_silence_has_followed_is_stable_at_once_unless_it_is_doubted():
    heard = decoded("one two three", 0.9, 0.4, 0.39)
    assert Agreement().revise(heard, is_ending=True).stable == "one two"


def test_a_decode_that_differs_begins_the_count_anew():
    told = stable("one two", "one too", "one two", "one two", probabilities=(0.9, 0.5))
    assert told == ["", "one", "one", "one"]


def test_what_may_yet_be_cut_off_stays_tentative():
    words = tuple(TimedWord(f" {n}", float(n), n + 1.0, 0.9) for n in range(4))
    heard = replace(decoded(" 0 1 2 3"), words=words)
    made = Agreement()
    for _ in range(5):
        made = made.revise(heard, uncut_s=2.0)
    assert (made.stable, made.tentative) == ("0 1", " 2 3")


def test_a_word_that_is_doubted_within_is_doubted():
    words = (TimedWord("well", 0.0, 0.0, 0.9), TimedWord("-known", 0.0, 0.0, 0.1))
    doubted = replace(decoded("well-known"), words=words)
    assert Agreement().revise(doubted).revise(doubted).stable == ""


def test_revisions_are_counted():
    assert [each.revision for each in revisions(["a", "a b", ""])] == [0, 1, 2, 3]


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_a_fit_needs_as_many_edits_as_the_lengths_differ(said: list[str], heard: list[str]):
    end, edits = align_prefix(said, heard)
    assert abs(end - len(said)) <= edits <= max(len(said), end)


def test_a_fit_is_exact_where_it_can_be():
    assert align_prefix("abc", "abcde") == (3, 0)
    assert align_prefix("", "abc") == (0, 0)
    assert align_prefix("abc", "bcde") == (2, 1)
