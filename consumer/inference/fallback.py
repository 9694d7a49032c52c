"""When a clip is decoded again, how, and which attempt stands.

openai-whisper's ladder, with the padded encoder before the first temperature. Where no attempt can
be trusted the likeliest stands, as in faster-whisper, and not the last, which is mostly invented.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.core.guard import MAX_COMPRESSION_RATIO, MAX_NO_SPEECH_PROB, MIN_AVG_LOGPROB
from consumer.core.values import Hypothesis

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One more decode; its temperatures share a batch, and the lowest that succeeds counts."""

    folded: bool
    temperatures: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one decode gave."""

    hypothesis: Hypothesis
    ended: bool  # by the model; else by the token limit

    @property
    def whole(self) -> bool:
        """Neither a loop nor cut off."""
        return self.ended and self.hypothesis.compression_ratio <= MAX_COMPRESSION_RATIO

    @property
    def trusted(self) -> bool:
        """No reason to decode again."""
        guessed = self.hypothesis.avg_logprob < MIN_AVG_LOGPROB
        if guessed and self.hypothesis.no_speech_prob > MAX_NO_SPEECH_PROB:
            return True  # silence: trying again would only invent words
        return self.whole and not guessed


def ladder(*, fold: bool) -> tuple[Attempt, ...]:
    """The attempts in their order."""
    first = [Attempt(folded=True, temperatures=(0.0,))] if fold else []
    return (
        *first,
        Attempt(folded=False, temperatures=(0.0,)),
        Attempt(folded=False, temperatures=TEMPERATURES),
    )


def best(outcomes: Sequence[Outcome]) -> Outcome:
    """The first that can be trusted; else the likeliest, of whole ones if there are any."""
    for outcome in outcomes:
        if outcome.trusted:
            return outcome
    return max(outcomes, key=lambda outcome: (outcome.whole, outcome.hypothesis.avg_logprob))
