"""Whisper's own probabilities, made into how often its words are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.quality import OF_TOKENS, OF_WORDS, Calibration, confidence, log_odds
from consumer.testing import echo

SAID = echo(np.zeros(1000, np.int16))
PROBABILITY = st.floats(0, 1)


def heard(*probabilities: float) -> Hypothesis:
    return replace(SAID, words=tuple(TimedWord(" a", 0, 1, p) for p in probabilities))


@pytest.mark.parametrize("calibration", [OF_WORDS, OF_TOKENS])
@given(PROBABILITY, PROBABILITY)
def test_it_lies_between_0_and_1_and_never_falls(
    calibration: Calibration, one: float, other: float
):
    low, high = sorted((one, other))
    assert 0 < calibration.apply(low) <= calibration.apply(high) < 1


def test_log_odds_scaled_by_1_and_shifted_by_0_change_nothing():
    assert Calibration(0, 1).apply(0.3) == pytest.approx(0.3)
    assert log_odds(0.5) == 0


def test_the_words_are_averaged():
    assert confidence(heard(0.2, 0.8, 0.8)) == pytest.approx(OF_WORDS.apply(0.6))


def test_the_tokens_have_to_do_where_there_are_no_words():
    unasked = replace(SAID, words=None, avg_logprob=-0.5)
    assert confidence(unasked) == pytest.approx(OF_TOKENS.apply(0.6065), abs=1e-4)


def test_both_agree_on_an_utterance_like_those_they_were_fitted_on():
    """In those the geometric mean over tokens is lower by a few points than the mean over words."""
    assert OF_WORDS.apply(0.84) == pytest.approx(OF_TOKENS.apply(0.76), abs=0.05)


def test_where_nothing_was_written_nothing_can_be_right():
    assert confidence(replace(SAID, text="", words=())) is None
