"""How far a final can be trusted: evidence in, what stands of its text and a verdict out."""

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
    TextEvidence,
    words_without_speech,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from schemas.audio import Task
from schemas.transcript import Quality, QualityReason, Verdict

LOW_CONFIDENCE: Final = 0.5  # a word below it is as likely wrong as right, says Whisper


@dataclass(frozen=True, slots=True)
class Assessment:
    """A hypothesis after the guard."""

    hypothesis: Hypothesis  # without words that have no speech under them
    removed: str | None  # what does not stand, all of the text where it is suppressed
    quality: Quality

    @property
    def is_suppressed(self) -> bool:
        return self.quality.verdict is Verdict.SUPPRESSED


def assess(
    hypothesis: Hypothesis,
    utterance: Utterance,
    prompt: str | None = None,
    task: Task = Task.TRANSCRIBE,
) -> Assessment:
    """Takes out words with no speech under them, and weighs what is left.

    `prompt` is what the text was to follow: to repeat it is what Whisper does on silence.
    """
    loudness = Loudness.of(utterance.samples, utterance.rate)
    unheard = words_without_speech(hypothesis.words or (), utterance, loudness)
    heard = _without(hypothesis, unheard) if unheard else hypothesis
    verdict, reasons = _weigh(TextEvidence.of(heard, utterance, prompt, task), unheard)
    removed = hypothesis.text if verdict is Verdict.SUPPRESSED else _text(unheard)
    measured = _measure(heard, utterance, loudness)
    quality = replace(measured, verdict=verdict, reasons=tuple(reasons))
    return Assessment(heard, removed or None, quality)


def _weigh(
    evidence: TextEvidence, unheard: Collection[TimedWord]
) -> tuple[Verdict, list[QualityReason]]:
    """The verdict, and reasons for it: those that suppress come first."""
    against = [doubt for doubt, speaks in SUPPRESSING if speaks(evidence)]
    doubts = [QualityReason.WORD_WITHOUT_SPEECH] if unheard else []
    doubts += [doubt for doubt, speaks in REVIEWING if speaks(evidence) and doubt not in against]
    if against:
        return Verdict.SUPPRESSED, against + doubts
    return (Verdict.REVIEW if doubts else Verdict.ACCEPT), doubts


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
        low_confidence_words=None if words is None else _low(words),
    )


def _low(words: Sequence[TimedWord]) -> int:
    return sum(word.probability < LOW_CONFIDENCE for word in words)


def _without(hypothesis: Hypothesis, unheard: Collection[TimedWord]) -> Hypothesis:
    """The words that are left go on joining to the text."""
    left = [word for word in hypothesis.words or () if word not in unheard]
    if left:
        left[0] = replace(left[0], text=left[0].text.lstrip())
    return replace(hypothesis, text=_text(left), words=tuple(left))


def _text(words: Collection[TimedWord]) -> str:
    return "".join(word.text for word in words).strip()


LOWEST, HIGHEST = 0.02, 0.995  # what Whisper says beyond is taken as that much


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whisper's probability -> how often it is right, by their log-odds."""

    intercept: float
    slope: float

    def apply(self, probability: float) -> float:
        return 1 / (1 + exp(-self.intercept - self.slope * log_odds(probability)))


OF_WORDS: Final = Calibration(-0.50, 1.50)  # mean probability of the words


OF_TOKENS: Final = Calibration(-0.01, 1.49)  # geometric mean probability of the tokens


def log_odds(probability: float) -> float:
    bounded = min(max(probability, LOWEST), HIGHEST)
    return log(bounded / (1 - bounded))


def confidence(hypothesis: Hypothesis) -> float | None:
    """0..1; None: there is no word that could be right.

    Where word times were not wanted there are no words, and the tokens' average has to do.
    """
    if not hypothesis.text:
        return None
    if not hypothesis.words:
        return OF_TOKENS.apply(exp(hypothesis.avg_logprob))
    return OF_WORDS.apply(sum(w.probability for w in hypothesis.words) / len(hypothesis.words))
