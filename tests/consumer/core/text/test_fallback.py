from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.core.text.fallback import (
    TEMPERATURES,
    FallbackStep,
    fallback_steps,
    is_accepted,
    remaining,
    select,
)
from consumer.core.text.hypothesis import Hypothesis


def text(
    avg_logprob: float = -0.3,
    no_speech_prob: float = 0.0,
    compression_ratio: float = 1.2,
    *,
    ended: bool = True,
    folded: bool = False,
    content: str = "text",
) -> Hypothesis:
    measures = (avg_logprob, no_speech_prob, compression_ratio)
    return Hypothesis(content, "en", None, (1,), *measures, ended=ended, folded=folded)


LOOP = text(compression_ratio=2.41)
GUESS = text(avg_logprob=-1.01)
CUT = text(ended=False)
SHORT_LOOP = text(content="字幕字幕字幕字幕")


def test_the_padded_step_comes_before_any_temperature():
    assert fallback_steps(fold=True) == (
        FallbackStep(folded=True, temperatures=(0.0,)),
        FallbackStep(folded=False, temperatures=(0.0,)),
        FallbackStep(folded=False, temperatures=TEMPERATURES),
    )


def test_without_the_fold_no_step_is_folded():
    assert fallback_steps(fold=False) == fallback_steps(fold=True)[1:]


def test_a_whole_likely_text_is_accepted():
    assert is_accepted(text())


def test_the_remaining_steps_begin_after_the_earlier_texts():
    steps = fallback_steps(fold=True)
    assert [remaining(steps, earlier) for earlier in (0, 1, 2, 7)] == [
        steps,
        steps[1:],
        steps[2:],
        (),
    ]


@pytest.mark.parametrize("wrong", [LOOP, SHORT_LOOP, GUESS, CUT])
def test_a_guess_a_loop_and_a_missing_end_are_not_accepted(wrong: Hypothesis):
    assert not is_accepted(wrong)


def test_a_guess_about_silence_is_accepted():
    assert is_accepted(text(avg_logprob=-1.2, no_speech_prob=0.7))
    assert not is_accepted(text(compression_ratio=3.0, no_speech_prob=0.7))


def test_a_folded_guess_about_silence_is_decoded_again_with_padding():
    """Folded, the base model wrote only "at" for "At that high level, the air is pure."."""
    silent = text(avg_logprob=-1.55, no_speech_prob=0.63, folded=True)
    padded = text(avg_logprob=-0.06, no_speech_prob=0.03)
    assert not is_accepted(silent)
    assert select([silent, padded]) is padded
    confirmed = replace(silent, folded=False)
    assert select([silent, confirmed]) is confirmed


def test_a_folded_text_without_a_word_is_not_accepted():
    assert not is_accepted(text(content="...", folded=True))
    assert is_accepted(text(content="..."))


def test_a_folded_text_that_the_filter_takes_for_silence_is_not_accepted():
    assert not is_accepted(text(avg_logprob=-0.9, no_speech_prob=0.7, folded=True))


def test_the_first_accepted_text_is_selected():
    accepted = text(avg_logprob=-0.9)
    assert select([LOOP, GUESS, accepted, text(avg_logprob=-0.1)]) is accepted


def test_if_none_is_accepted_the_most_likely_whole_text_is_selected():
    assert select([LOOP, text(avg_logprob=-3.0), GUESS, CUT]) is GUESS
    assert select([SHORT_LOOP, GUESS]) is GUESS
    assert select([LOOP, text(avg_logprob=-0.2, ended=False)]).avg_logprob == -0.2
