"""Fallback: when a clip is decoded again, with which parameters, and which text is selected.

The steps are openai-whisper's temperature fallback, preceded by a decode with the padded encoder.
If no text is accepted the most likely one is selected, as in faster-whisper; openai-whisper takes
the last, which is mostly invented.
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
from consumer.core.text.patterns import longest_repetition
from consumer.core.text.units import keys

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class FallbackStep:
    """Parameters of one decode. Its temperatures share a batch; the lowest accepted one counts."""

    folded: bool
    temperatures: tuple[float, ...]


def fallback_steps(*, fold: bool) -> tuple[FallbackStep, ...]:
    """Return the steps in order."""
    first = [FallbackStep(folded=True, temperatures=(0.0,))] if fold else []
    return (
        *first,
        FallbackStep(folded=False, temperatures=(0.0,)),
        FallbackStep(folded=False, temperatures=TEMPERATURES),
    )


def remaining(steps: Sequence[FallbackStep], earlier: int) -> Sequence[FallbackStep]:
    """Return the steps that are left after those that made the `earlier` texts."""
    while earlier > 0:
        earlier -= len(steps[0].temperatures)
        steps = steps[1:]
    return steps


def is_whole(text: Hypothesis) -> bool:
    """Return whether the text is neither a loop nor cut off."""
    return _is_whole(text, keys(text.text))


def is_accepted(text: Hypothesis) -> bool:
    """Return whether the clip need not be decoded again."""
    text_keys = keys(text.text)
    if text.folded and (indicates_silence(text) or not text_keys):
        return False  # the fold may have lost the speech
    is_guess = text.avg_logprob < MIN_AVG_LOGPROB
    if is_guess and text.no_speech_prob > MAX_NO_SPEECH_PROB:
        return True  # silence: another decode would only invent words
    return not is_guess and _is_whole(text, text_keys)


def _is_whole(text: Hypothesis, text_keys: Sequence[str]) -> bool:
    repeats = text.compression_ratio > MAX_COMPRESSION_RATIO
    return text.ended and not repeats and not longest_repetition(text_keys).is_loop


def select(texts: Sequence[Hypothesis]) -> Hypothesis:
    """Return the first accepted text, else the most likely one, preferring whole ones."""
    for text in texts:
        if is_accepted(text):
            return text
    return max(texts, key=lambda text: (is_whole(text), text.avg_logprob))
