"""The quality of a final: accepted words, verdict with reasons, and confidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Final

from consumer.core.audio.loudness import Loudness, clipped_ratio
from consumer.core.audio.utterance import Utterance
from consumer.core.text.hallucination import (
    REVIEWING,
    SUPPRESSING,
    Given,
    TextEvidence,
    words_without_speech,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from schemas.audio import Task
from schemas.transcript import LOW_CONFIDENCE, Quality, QualityReason, Verdict

LOWEST, HIGHEST = 0.02, 0.995  # bounds of the probabilities that are calibrated


@dataclass(frozen=True, slots=True)
class Assessment:
    """A hypothesis after the hallucination filter."""

    hypothesis: Hypothesis  # without words that have no speech at their times
    removed: str | None  # the removed words, or the whole text if it is suppressed
    quality: Quality

    @property
    def is_suppressed(self) -> bool:
        return self.quality.verdict is Verdict.SUPPRESSED


def assess(
    hypothesis: Hypothesis,
    utterance: Utterance,
    given: Given = Given(),  # noqa: B008 - frozen
    task: Task = Task.TRANSCRIBE,
) -> Assessment:
    """Return the hypothesis without words that have no speech at their times, and its quality."""
    loudness = Loudness.of(utterance.samples, utterance.rate)
    removed = words_without_speech(hypothesis.words or (), utterance, loudness)
    left = _without(hypothesis, removed) if removed else hypothesis
    verdict, reasons = _decide(TextEvidence.of(left, utterance, given, task), removed)
    removed_text = hypothesis.text if verdict is Verdict.SUPPRESSED else _text(removed)
    measured = _measure(left, utterance, loudness)
    quality = replace(measured, verdict=verdict, reasons=tuple(reasons))
    return Assessment(left, removed_text or None, quality)


def _decide(
    evidence: TextEvidence, removed: Collection[TimedWord]
) -> tuple[Verdict, list[QualityReason]]:
    """Return the verdict and its reasons, those that suppress first."""
    suppressing = [reason for reason, applies in SUPPRESSING if applies(evidence)]
    reviewing = [QualityReason.WORD_WITHOUT_SPEECH] if removed else []
    reviewing += [
        reason for reason, applies in REVIEWING if applies(evidence) and reason not in suppressing
    ]
    if suppressing:
        return Verdict.SUPPRESSED, suppressing + reviewing
    return (Verdict.REVIEW if reviewing else Verdict.ACCEPT), reviewing


def _measure(hypothesis: Hypothesis, utterance: Utterance, loudness: Loudness) -> Quality:
    words = hypothesis.words
    return Quality(
        avg_logprob=hypothesis.avg_logprob,
        no_speech_prob=hypothesis.no_speech_prob,
        compression_ratio=hypothesis.compression_ratio,
        snr_db=loudness.snr_db,
        clipped_ratio=clipped_ratio(utterance.samples),
        speech_ratio=utterance.speech.ratio,
        words_per_second=None if words is None else len(words) / utterance.seconds,
        low_confidence_words=None if words is None else _count_improbable(words),
    )


def _count_improbable(words: Sequence[TimedWord]) -> int:
    return sum(word.probability < LOW_CONFIDENCE for word in words)


def _without(hypothesis: Hypothesis, removed: Collection[TimedWord]) -> Hypothesis:
    """Return the hypothesis without these words; the others still join to its text."""
    left = [word for word in hypothesis.words or () if word not in removed]
    if left:
        left[0] = replace(left[0], text=left[0].text.lstrip())
    return replace(hypothesis, text=_text(left), words=tuple(left))


def _text(words: Collection[TimedWord]) -> str:
    return "".join(word.text for word in words).strip()


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map from Whisper's probability to the share of right words, linear in log-odds."""

    intercept: float
    slope: float

    def apply(self, probability: float) -> float:
        return 1 / (1 + exp(-self.intercept - self.slope * log_odds(probability)))


OF_WORDS: Final = Calibration(-0.50, 1.50)  # of the mean probability of the words
OF_TOKENS: Final = Calibration(-0.01, 1.49)  # of the geometric mean probability of the tokens


def log_odds(probability: float) -> float:
    bounded = min(max(probability, LOWEST), HIGHEST)
    return log(bounded / (1 - bounded))


def confidence(hypothesis: Hypothesis) -> float | None:
    """Return the confidence, 0..1, or None for an empty text.

    A hypothesis without words is measured by the average of its tokens.
    """
    if not hypothesis.text:
        return None
    if not hypothesis.words:
        return OF_TOKENS.apply(exp(hypothesis.avg_logprob))
    return OF_WORDS.apply(sum(w.probability for w in hypothesis.words) / len(hypothesis.words))
