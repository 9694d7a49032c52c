"""The fit finds what was put in, and every figure is one that can be reckoned by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench.calibration import Sample, cross_validated, fit, judge, reliability
from consumer.core.text.quality import Calibration


def sample(right: float, words: int = 10, speaker: str = "a", probability: float = 0.5) -> Sample:
    return Sample(probability, right, words, speaker)


def drawn(truth: Calibration, count: int = 3000) -> list[Sample]:
    """Utterances whose words are right as often as `truth` says."""
    rng = np.random.default_rng(7)
    probabilities = rng.uniform(0.05, 0.98, count)
    rights = [rng.binomial(20, truth.apply(p)) / 20 for p in probabilities]
    speakers = random.Random(7).choices("abcdefghijklmnopqrstuvwxyz", k=count)
    return [
        Sample(float(p), right, 20, speaker)
        for p, right, speaker in zip(probabilities, rights, speakers, strict=True)
    ]


def test_the_fit_finds_the_coefficients_that_made_the_data() -> None:
    found = fit(drawn(Calibration(-0.5, 1.5)))
    assert found.intercept == pytest.approx(-0.5, abs=0.05)
    assert found.slope == pytest.approx(1.5, abs=0.05)


def test_utterances_count_by_their_words() -> None:
    few, many = sample(0.0, words=1), sample(1.0, words=99)
    assert fit([few, many]).apply(0.5) == pytest.approx(0.99, abs=0.001)


def test_words_that_are_all_right_do_not_break_the_fit() -> None:
    assert fit([sample(1.0), sample(1.0, probability=0.9)]).apply(0.9) > 0.99


def test_each_speaker_is_judged_by_a_fit_that_has_not_heard_it() -> None:
    """The only one who is ever wrong is thought to be right."""
    samples = [*(sample(1.0, speaker=name) for name in "bcdefghijkl"), sample(0.0)]
    *others, unseen = cross_validated(samples)
    assert unseen > 0.9
    assert min(others) < unseen


def test_a_calibrated_confidence_is_judged_so() -> None:
    truth = Calibration(-0.5, 1.5)
    samples = drawn(truth)
    judged = judge([truth.apply(each.probability) for each in samples], samples)
    assert judged.ece < 0.01
    assert judged.confidence == pytest.approx(judged.right, abs=0.01)
    assert judge([0.99] * len(samples), samples).ece == pytest.approx(0.99 - judged.right)


def test_figures_by_hand() -> None:
    samples = [sample(1.0, words=30), sample(0.5, words=10)]
    judged = judge([0.9, 0.4], samples)
    assert (judged.utterances, judged.words, judged.right) == (2, 40, 35 / 40)
    assert judged.ece == pytest.approx((30 * 0.1 + 10 * 0.1) / 40)
    assert judged.brier == pytest.approx((30 * 0.01 + 10 * (0.5 * 0.36 + 0.5 * 0.16)) / 40)
    assert judged.auc == pytest.approx((30 * 1 + 5 * 0.5) / 35)


def test_a_rank_of_one_kind_alone_is_unknown() -> None:
    assert judge([0.5], [sample(1.0)]).auc is None


def test_bins_hold_tenths_the_last_one_with_its_end() -> None:
    samples = [sample(1.0), sample(0.0, words=30), sample(1.0)]
    bins = reliability([0.1, 0.19, 1.0], samples)
    assert [(each.low, each.utterances, each.words) for each in bins] == [
        (0.1, 2, 40),
        (0.9, 1, 10),
    ]
    assert bins[0].right == 0.25
    assert bins[0].confidence == pytest.approx((10 * 0.1 + 30 * 0.19) / 40)
