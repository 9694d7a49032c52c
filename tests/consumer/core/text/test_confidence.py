"""The calibration of Whisper's probabilities to the share of right words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.quality import OF_TOKENS, OF_WORDS, Calibration, confidence, log_odds
from consumer.testing import echo

HYPOTHESIS = echo(np.zeros(1000, np.int16))
PROBABILITY = st.floats(0, 1)


def with_words(*probabilities: float) -> Hypothesis:
    return replace(HYPOTHESIS, words=tuple(TimedWord(" a", 0, 1, p) for p in probabilities))


@pytest.mark.parametrize("calibration", [OF_WORDS, OF_TOKENS])
@given(PROBABILITY, PROBABILITY)
def test_confidence_is_within_0_and_1_and_never_decreases(
    calibration: Calibration, one: float, other: float
):
    low, high = sorted((one, other))
    assert 0 < calibration.apply(low) <= calibration.apply(high) < 1


def test_a_slope_of_1_and_an_intercept_of_0_change_nothing():
    assert Calibration(0, 1).apply(0.3) == pytest.approx(0.3)
    assert log_odds(0.5) == 0


def test_the_probabilities_of_words_are_averaged():
    assert confidence(with_words(0.2, 0.8, 0.8)) == pytest.approx(OF_WORDS.apply(0.6))


def test_without_words_the_tokens_are_averaged():
    without_words = replace(HYPOTHESIS, words=None, avg_logprob=-0.5)
    assert confidence(without_words) == pytest.approx(OF_TOKENS.apply(0.6065), abs=1e-4)


def test_both_calibrations_agree_on_a_typical_utterance():
    """The geometric mean over tokens is a few points lower than the mean over words."""
    assert OF_WORDS.apply(0.84) == pytest.approx(OF_TOKENS.apply(0.76), abs=0.05)


def test_an_empty_text_has_no_confidence():
    assert confidence(replace(HYPOTHESIS, text="", words=())) is None
