"""Fits and judges a confidence: utterances with a probability, and the share of right words.

Every figure counts words, not utterances: a confidence of 0.9 should mean that nine words in ten of
all words so marked are right.
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
_NEWTON_STEPS: Final = 50
_RIDGE: Final = 1e-6  # keeps the step finite where all words are right


@dataclass(frozen=True, slots=True)
class Sample:
    """One utterance."""

    probability: float  # Whisper's own, of its words
    right: float  # share of words that are, 0..1
    words: int
    speaker: str


@dataclass(frozen=True, slots=True)
class Bin:
    """Utterances whose confidence lies in one tenth of 0..1."""

    low: float
    utterances: int
    words: int
    confidence: float  # mean over words
    right: float  # share of words


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good a confidence is."""

    utterances: int
    words: int
    right: float  # share of words: what a constant would have to say
    confidence: float  # mean over words
    ece: float  # expected calibration error: |confidence - right| over bins, by words
    brier: float  # mean squared error of a word's confidence; without skill right * (1 - right)
    auc: (
        float | None
    )  # how often a right word has more of it than a wrong one; None: one is missing


def fit(samples: Sequence[Sample]) -> Calibration:
    """Logistic regression of right words on the log-odds of Whisper's probability, by Newton."""
    inputs = np.array([[1.0, log_odds(sample.probability)] for sample in samples])
    right, words = _right(samples), _words(samples)
    weights = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        said = 1 / (1 + np.exp(-inputs @ weights))
        gradient = inputs.T @ (words * (right - said))
        curvature = (inputs.T * (words * said * (1 - said))) @ inputs + _RIDGE * np.eye(2)
        weights += np.linalg.solve(curvature, gradient)
    return Calibration(float(weights[0]), float(weights[1]))


def cross_validated(samples: Sequence[Sample], seed: int = 7) -> list[float]:
    """Each sample's confidence, fitted without its speaker (and a tenth of all others)."""
    speakers = sorted({sample.speaker for sample in samples})
    random.Random(seed).shuffle(speakers)
    fold = {speaker: index % _FOLDS for index, speaker in enumerate(speakers)}
    folds = sorted(set(fold.values()))
    made = {k: fit([each for each in samples if fold[each.speaker] != k]) for k in folds}
    return [made[fold[sample.speaker]].apply(sample.probability) for sample in samples]


def reliability(confidences: Sequence[float], samples: Sequence[Sample]) -> list[Bin]:
    """Bins that hold anything, ascending."""
    said, right, words = np.array(confidences), _right(samples), _words(samples)
    places = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        Bin(
            low=int(place) / BINS,
            utterances=int(inside.sum()),
            words=int(words[inside].sum()),
            confidence=_mean(said[inside], words[inside]),
            right=_mean(right[inside], words[inside]),
        )
        for place in np.unique(places)
        for inside in [places == place]
    ]


def judge(confidences: Sequence[float], samples: Sequence[Sample]) -> Judgement:
    said, right, words = np.array(confidences), _right(samples), _words(samples)
    bins = reliability(confidences, samples)
    missed = sum(each.words * abs(each.confidence - each.right) for each in bins)
    return Judgement(
        utterances=len(samples),
        words=int(words.sum()),
        right=_mean(right, words),
        confidence=_mean(said, words),
        ece=float(missed / words.sum()),
        brier=_mean(right * (1 - said) ** 2 + (1 - right) * said**2, words),
        auc=_auc(said, right * words, (1 - right) * words),
    )


def _auc(said: Float64Array, right: Float64Array, wrong: Float64Array) -> float | None:
    """Of right and wrong words, counted by utterance; ties count half."""
    _, place = np.unique(said, return_inverse=True)
    rights, wrongs = np.bincount(place, right), np.bincount(place, wrong)
    below = np.cumsum(wrongs) - wrongs / 2
    pairs = rights.sum() * wrongs.sum()
    return float(rights @ below / pairs) if pairs else None


def _right(samples: Sequence[Sample]) -> Float64Array:
    return np.array([sample.right for sample in samples], np.float64)


def _words(samples: Sequence[Sample]) -> Float64Array:
    return np.array([sample.words for sample in samples], np.float64)


def _mean(values: Float64Array, words: Float64Array) -> float:
    return float(np.average(values, weights=words))
