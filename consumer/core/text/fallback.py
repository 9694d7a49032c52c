"""When a clip is decoded again, how, and which attempt stands.

openai-whisper's ladder, with the padded encoder before the first temperature. Where no attempt can
be trusted the likeliest stands, as in faster-whisper, and not the last, which is mostly invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.core.text.hallucination import (
    MAX_COMPRESSION_RATIO,
    MAX_NO_SPEECH_PROB,
    MIN_AVG_LOGPROB,
    indicates_silence,
)
from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.patterns import is_loop
from consumer.core.text.units import keys

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class FallbackStep:
    """One more decode; its temperatures share a batch, and the lowest that succeeds counts."""

    folded: bool
    temperatures: tuple[float, ...]


def fallback_steps(*, fold: bool) -> tuple[FallbackStep, ...]:
    """The attempts in their order."""
    first = [FallbackStep(folded=True, temperatures=(0.0,))] if fold else []
    return (
        *first,
        FallbackStep(folded=False, temperatures=(0.0,)),
        FallbackStep(folded=False, temperatures=TEMPERATURES),
    )


def remaining(attempts: Sequence[FallbackStep], tried: int) -> Sequence[FallbackStep]:
    """Those that are to be made still, when so many texts have come of the first of them."""
    while tried > 0:
        tried -= len(attempts[0].temperatures)
        attempts = attempts[1:]
    return attempts


def is_whole(text: Hypothesis) -> bool:
    """Neither a loop nor cut off; a short loop compresses no better than a sentence."""
    repeats = text.compression_ratio > MAX_COMPRESSION_RATIO
    return text.ended and not repeats and not is_loop(text.text)


def is_accepted(text: Hypothesis) -> bool:
    """No reason to decode again."""
    if text.folded and (indicates_silence(text) or not keys(text.text)):
        return False  # what is said may have been lost with the fold
    guessed = text.avg_logprob < MIN_AVG_LOGPROB
    if guessed and text.no_speech_prob > MAX_NO_SPEECH_PROB:
        return True  # silence: trying again would only invent words
    return is_whole(text) and not guessed


def select(texts: Sequence[Hypothesis]) -> Hypothesis:
    """The first that can be trusted; else the likeliest, of whole ones if there are any."""
    for text in texts:
        if is_accepted(text):
            return text
    return max(texts, key=lambda text: (is_whole(text), text.avg_logprob))
