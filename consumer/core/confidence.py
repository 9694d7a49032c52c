"""The probability that a word of a hypothesis is right, from what Whisper says of its own words.

Whisper's probabilities rank utterances well and are not frequencies; two numbers make them so
(Platt, 1999): the log-odds are scaled and shifted. docs/quality.md says how they were found, how
well they hold, and what more evidence would have added. `python -m bench confidence` checks them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Final

from consumer.core.values import Hypothesis

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
