"""When a clip is decoded again, and how: openai-whisper's ladder with the padded encoder first."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.core.values import Hypothesis

MAX_COMPRESSION_RATIO = 2.4  # above it the text loops
MIN_AVG_LOGPROB = -1.0  # below it the model guesses
MIN_NO_SPEECH_PROB = 0.6  # above it a guess is silence, and trying again would only invent words
_TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to decode a clip."""

    folded: bool
    temperature: float


def ladder(*, fold: bool) -> tuple[Attempt, ...]:
    """The attempts in their order; the last one's result stands whatever it is."""
    first = [Attempt(folded=True, temperature=0.0)] if fold else []
    padded = [Attempt(folded=False, temperature=t) for t in (0.0, *_TEMPERATURES)]
    return (*first, *padded)


def needs_another(hypothesis: Hypothesis, *, ended: bool) -> bool:
    """Whether a hypothesis, ended by the model or cut by the token limit, is not to be trusted."""
    guessed = hypothesis.avg_logprob < MIN_AVG_LOGPROB
    if guessed and hypothesis.no_speech_prob > MIN_NO_SPEECH_PROB:
        return False
    return guessed or not ended or hypothesis.compression_ratio > MAX_COMPRESSION_RATIO
