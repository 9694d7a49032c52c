from __future__ import annotations

import pytest

from consumer.core.values import Hypothesis
from consumer.inference.fallback import TEMPERATURES, Attempt, Outcome, best, ladder


def outcome(
    avg_logprob: float = -0.3,
    no_speech_prob: float = 0.0,
    compression_ratio: float = 1.2,
    *,
    ended: bool = True,
) -> Outcome:
    hypothesis = Hypothesis(
        "text", "en", None, (1,), avg_logprob, no_speech_prob, compression_ratio
    )
    return Outcome(hypothesis, ended)


LOOP = outcome(compression_ratio=2.41)
GUESS = outcome(avg_logprob=-1.01)
CUT = outcome(ended=False)


def test_padded_comes_before_any_temperature():
    assert ladder(fold=True) == (
        Attempt(folded=True, temperatures=(0.0,)),
        Attempt(folded=False, temperatures=(0.0,)),
        Attempt(folded=False, temperatures=TEMPERATURES),
    )


def test_without_the_fold_nothing_is_folded():
    assert ladder(fold=False) == ladder(fold=True)[1:]


def test_a_whole_likely_text_stands():
    assert outcome().trusted


@pytest.mark.parametrize("wrong", [LOOP, GUESS, CUT])
def test_a_guess_a_loop_and_a_missing_end_do_not(wrong: Outcome):
    assert not wrong.trusted


def test_a_guess_about_silence_stands():
    assert outcome(avg_logprob=-1.2, no_speech_prob=0.7).trusted
    assert not outcome(compression_ratio=3.0, no_speech_prob=0.7).trusted


def test_the_first_trusted_attempt_counts():
    wanted = outcome(avg_logprob=-0.9)
    assert best([LOOP, GUESS, wanted, outcome(avg_logprob=-0.1)]) is wanted


def test_of_none_trusted_the_likeliest_whole_one_counts():
    assert best([LOOP, outcome(avg_logprob=-3.0), GUESS, CUT]) is GUESS
    assert best([LOOP, outcome(avg_logprob=-0.2, ended=False)]).hypothesis.avg_logprob == -0.2
