"""Calibration of a confidence: utterances with a probability and the share of correct words.

Every figure counts words, not utterances: a confidence of 0.9 should mean that nine in ten of all
words with that confidence are correct.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.core.text.quality import Calibration, log_odds

Float64Array: TypeAlias = npt.NDArray[np.float64]

BINS: Final = 10
_FOLDS: Final = 10
_SEED: Final = 7
_NEWTON_STEPS: Final = 50
_RIDGE: Final = 1e-6  # keeps the step finite where all words are correct


@dataclass(frozen=True, slots=True)
class CalibrationSample:
    """One utterance."""

    probability: float  # Whisper's, of its words
    right: float  # share of words that are correct, 0..1
    words: int
    speaker: str


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Utterances whose confidence lies in one tenth of 0..1."""

    low: float
    utterances: int
    words: int
    confidence: float  # mean over words
    right: float  # share of words


@dataclass(frozen=True, slots=True)
class CalibrationMetrics:
    """The quality of a confidence."""

    utterances: int
    words: int
    right: float  # share of words
    confidence: float  # mean over words
    ece: float  # expected calibration error: |confidence - right| over bins, by words
    brier: float  # mean squared error of a word's confidence; without skill right * (1 - right)
    auc: float | None  # P(a correct word has more than a wrong one); None: one kind is missing


def fit(samples: Sequence[CalibrationSample]) -> Calibration:
    """Regress correct words on the log-odds of the probability (logistic, by Newton's method)."""
    inputs = np.array([[1.0, log_odds(sample.probability)] for sample in samples])
    right, words = _arrays(samples)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        predicted = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (words * (right - predicted))
        curvature = (inputs.T * (words * predicted * (1 - predicted))) @ inputs
        weights += np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)
    return Calibration(float(weights[0]), float(weights[1]))


def cross_validated(samples: Sequence[CalibrationSample]) -> list[float]:
    """Return each sample's confidence by a fit without its speaker (and a tenth of all others)."""
    speakers = sorted({sample.speaker for sample in samples})
    random.Random(_SEED).shuffle(speakers)
    fold = {speaker: index % _FOLDS for index, speaker in enumerate(speakers)}
    folds = sorted(set(fold.values()))
    fitted = {k: fit([each for each in samples if fold[each.speaker] != k]) for k in folds}
    return [fitted[fold[sample.speaker]].apply(sample.probability) for sample in samples]


def reliability(
    confidences: Sequence[float], samples: Sequence[CalibrationSample]
) -> list[ReliabilityBin]:
    """Return the bins that hold any utterance, ascending."""
    given, (right, words) = np.array(confidences), _arrays(samples)
    places = np.minimum((given * BINS).astype(int), BINS - 1)
    return [
        ReliabilityBin(
            low=int(place) / BINS,
            utterances=int(inside.sum()),
            words=int(words[inside].sum()),
            confidence=_mean(given[inside], words[inside]),
            right=_mean(right[inside], words[inside]),
        )
        for place in np.unique(places)
        for inside in [places == place]
    ]


def evaluate(
    confidences: Sequence[float], samples: Sequence[CalibrationSample]
) -> CalibrationMetrics:
    given, (right, words) = np.array(confidences), _arrays(samples)
    bins = reliability(confidences, samples)
    missed = sum(each.words * abs(each.confidence - each.right) for each in bins)
    return CalibrationMetrics(
        utterances=len(samples),
        words=int(words.sum()),
        right=_mean(right, words),
        confidence=_mean(given, words),
        ece=float(missed / words.sum()),
        brier=_mean(right * (1 - given) ** 2 + (1 - right) * given**2, words),
        auc=_auc(given, right * words, (1 - right) * words),
    )


def _auc(given: Float64Array, right: Float64Array, wrong: Float64Array) -> float | None:
    """Return the area under the ROC curve of correct and wrong words; ties count half."""
    _, place = np.unique(given, return_inverse=True)
    rights, wrongs = np.bincount(place, right), np.bincount(place, wrong)
    below = np.cumsum(wrongs) - wrongs / 2
    pairs = rights.sum() * wrongs.sum()
    return float(rights @ below / pairs) if pairs else None


def _arrays(samples: Sequence[CalibrationSample]) -> tuple[Float64Array, Float64Array]:
    """Return the shares of correct words, and the numbers of words."""
    right, words = np.array([(each.right, each.words) for each in samples], np.float64).T
    return right, words


def _mean(values: Float64Array, words: Float64Array) -> float:
    return float(np.average(values, weights=words))
