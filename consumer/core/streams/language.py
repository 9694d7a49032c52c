"""The language of a stream whose publisher states none, or several.

Whisper identifies the language of each utterance on its own, and often wrongly if it is short or
noisy: the text is then in another language. So a stream keeps its language until one utterance is
clearly in another one, or two in a row are likely to be. A less likely or shorter one is ignored.
docs/quality.md has the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

LIKELY: Final = 0.5  # lowest probability that counts
CLEAR: Final = 0.9  # probability that changes the language at once
SHORTEST_S: Final = 1.0  # of speech: 0.5 s are identified wrongly in 3 of 10, 1 s in 1 of 12


@dataclass(frozen=True, slots=True)
class IdentifiedLanguage:
    """The language of one utterance as the model identifies it."""

    code: str  # Whisper's, the most likely of those allowed
    probability: float  # among those allowed
    speech_s: float

    @property
    def is_likely(self) -> bool:
        return self.probability >= LIKELY and self.speech_s >= SHORTEST_S

    @property
    def is_clear(self) -> bool:
        return self.probability >= CLEAR and self.speech_s >= SHORTEST_S


class LanguageHold(NamedTuple):
    """The language that a stream keeps between two utterances."""

    code: str | None = None  # Whisper's; None: no likely one so far
    challenger: str | None = None  # another language, likely for the last utterance

    def updated(self, found: IdentifiedLanguage) -> LanguageHold:
        """Return the hold after an utterance in `found`."""
        if not found.is_likely:
            return self
        if self.code is None or found.is_clear or found.code in {self.code, self.challenger}:
            return LanguageHold(found.code)
        return LanguageHold(self.code, found.code)

    def decide(self, found: IdentifiedLanguage) -> str:
        """Return the language to decode the utterance in."""
        return self.updated(found).code or found.code


UNKNOWN: Final = LanguageHold()


def identify(
    probabilities: Mapping[str, float], allowed: Collection[str], speech_s: float
) -> IdentifiedLanguage:
    """Return the most likely of the `allowed` codes, or of all languages if `allowed` is empty.

    `probabilities`: Whisper's, of all languages.
    """
    shares = {code: probabilities[code] for code in allowed} or dict(probabilities)
    code = max(shares, key=shares.__getitem__)
    total = sum(shares.values())
    return IdentifiedLanguage(code, shares[code] / total if total else 0.0, speech_s)
