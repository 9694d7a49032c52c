"""How far a final can be trusted: evidence in, verdict and reasons out."""

from __future__ import annotations

from collections.abc import Sequence

from consumer.core.values import Hypothesis, TimedWord, Utterance
from schemas.transcript import Quality, Verdict

# openai-whisper's thresholds, transcribe.py: for a verdict here, for another decode in the engine.
MAX_COMPRESSION_RATIO = 2.4  # above it the text repeats itself
MIN_AVG_LOGPROB = -1.0  # below it the model guesses
MAX_NO_SPEECH_PROB = 0.6  # above it a guess is silence
LOW_CONFIDENCE = 0.5  # a word below it is as likely wrong as right, says Whisper


def assess(hypothesis: Hypothesis, utterance: Utterance) -> Quality:
    """Whisper's own measures and the detector's, and what they amount to."""
    suppress, review = _against(hypothesis), _doubts(hypothesis)
    words = hypothesis.words
    verdict = Verdict.SUPPRESSED if suppress else Verdict.REVIEW if review else Verdict.ACCEPT
    return Quality(
        avg_logprob=hypothesis.avg_logprob,
        no_speech_prob=hypothesis.no_speech_prob,
        compression_ratio=hypothesis.compression_ratio,
        speech_ratio=utterance.speech.ratio,
        words_per_second=None if words is None else len(words) / utterance.seconds,
        low_confidence_words=None if words is None else _low(words),
        verdict=verdict,
        reasons=(*suppress, *review),
    )


def _low(words: Sequence[TimedWord]) -> int:
    return sum(word.probability < LOW_CONFIDENCE for word in words)


def _against(hypothesis: Hypothesis) -> list[str]:
    """Reasons to believe that nothing was said."""
    unsure = hypothesis.avg_logprob < MIN_AVG_LOGPROB
    return ["no_speech"] if unsure and hypothesis.no_speech_prob > MAX_NO_SPEECH_PROB else []


def _doubts(hypothesis: Hypothesis) -> list[str]:
    """Reasons for a human look."""
    doubts = []
    if hypothesis.compression_ratio > MAX_COMPRESSION_RATIO:
        doubts.append("repetition")
    if hypothesis.avg_logprob < MIN_AVG_LOGPROB:
        doubts.append("low_logprob")
    return doubts
