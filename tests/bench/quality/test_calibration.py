"""The fit finds known coefficients, and every figure equals one computed by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench.quality.calibration import (
    CalibrationSample,
    cross_validated,
    evaluate,
    fit,
    reliability,
)
from consumer.core.text.quality import Calibration


def sample(
    right: float, words: int = 10, speaker: str = "a", probability: float = 0.5
) -> CalibrationSample:
    return CalibrationSample(probability, right, words, speaker)


def drawn(truth: Calibration, count: int = 3000) -> list[CalibrationSample]:
    """Return utterances whose words are correct with the probability of `truth`."""
    rng = np.random.default_rng(7)
    probabilities = rng.uniform(0.05, 0.98, count)
    rights = [rng.binomial(20, truth.apply(p)) / 20 for p in probabilities]
    speakers = random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=count)
    return [
        CalibrationSample(float(p), right, 20, speaker)
        for p, right, speaker in zip(probabilities, rights, speakers, strict=True)
    ]


def test_the_fit_finds_the_coefficients_that_made_the_data() -> None:
    found = fit(drawn(Calibration(-0.5, 1.5)))
    assert found.intercept == pytest.approx(-0.5, abs=0.05)
    assert found.slope == pytest.approx(1.5, abs=0.05)


def test_utterances_count_by_their_words() -> None:
    few, many = sample(0.0, words=1), sample(1.0, words=99)
    assert fit([few, many]).apply(0.5) == pytest.approx(0.99, abs=0.001)


def test_the_fit_is_finite_where_all_words_are_correct() -> None:
    assert fit([sample(1.0), sample(1.0, probability=0.9)]).apply(0.9) > 0.99


def test_the_confidence_of_a_speaker_comes_from_a_fit_without_its_samples() -> None:
    """The only speaker with errors gets the confidence of those without."""
    samples = [*(sample(1.0, speaker=name) for name in "bcdefghijkl"), sample(0.0)]
    *others, unseen = cross_validated(samples)
    assert unseen > 0.9
    assert min(others) < unseen


def test_a_calibrated_confidence_has_no_calibration_error() -> None:
    truth = Calibration(-0.5, 1.5)
    samples = drawn(truth)
    found = evaluate([truth.apply(each.probability) for each in samples], samples)
    assert found.ece < 0.01
    assert found.confidence == pytest.approx(found.right, abs=0.01)
    assert evaluate([0.99] * len(samples), samples).ece == pytest.approx(0.99 - found.right)


def test_figures_equal_those_computed_by_hand() -> None:
    samples = [sample(1.0, words=30), sample(0.5, words=10)]
    found = evaluate([0.9, 0.4], samples)
    assert (found.utterances, found.words, found.right) == (2, 40, 35 / 40)
    assert found.ece == pytest.approx((30 * 0.1 + 10 * 0.1) / 40)
    assert found.brier == pytest.approx((30 * 0.01 + 10 * (0.5 * 0.36 + 0.5 * 0.16)) / 40)
    assert found.auc == pytest.approx((30 * 1 + 5 * 0.5) / 35)


def test_the_auc_of_one_kind_of_words_is_unknown() -> None:
    assert evaluate([0.5], [sample(1.0)]).auc is None


def test_bins_are_tenths_and_the_last_one_includes_its_end() -> None:
    samples = [sample(1.0), sample(0.0, words=30), sample(1.0)]
    bins = reliability([0.1, 0.19, 1.0], samples)
    assert [(each.low, each.utterances, each.words) for each in bins] == [
        (0.1, 2, 40),
        (0.9, 1, 10),
    ]
    assert bins[0].right == 0.25
    assert bins[0].confidence == pytest.approx((10 * 0.1 + 30 * 0.19) / 40)
