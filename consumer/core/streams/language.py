"""Which language a stream is in, where its publisher leaves that open.

Whisper tells the language of every utterance afresh, and of short or noisy ones wrongly: then a
whole text comes out in another language. So a stream keeps its language until an utterance clearly
says otherwise, or two in a row are likely to; what is less likely, or short, says nothing.
docs/quality.md has the figures.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

LIKELY: Final = 0.5  # the floor


CLEAR: Final = 0.9


SHORTEST_S: Final = 1.0  # of speech: 0.5 s are told wrongly in three of ten, 1 s in one of twelve


@dataclass(frozen=True, slots=True)
class IdentifiedLanguage:
    """What an utterance sounds like by itself."""

    code: str  # Whisper's, the likeliest of those allowed
    probability: float  # among those allowed
    speech_s: float

    @property
    def is_likely(self) -> bool:
        return self.probability >= LIKELY and self.speech_s >= SHORTEST_S

    @property
    def is_clear(self) -> bool:
        return self.probability >= CLEAR and self.speech_s >= SHORTEST_S


class LanguageHold(NamedTuple):
    """What a stream remembers between two utterances: small, and all of it."""

    code: str | None = None  # Whisper's; None: nothing likely was heard yet
    challenger: str | None = None  # another language that the last utterance sounded like

    def updated(self, heard: IdentifiedLanguage) -> LanguageHold:
        """After one more utterance."""
        if not heard.is_likely:
            return self
        if self.code is None or heard.is_clear or heard.code in {self.code, self.challenger}:
            return LanguageHold(heard.code)
        return LanguageHold(self.code, heard.code)

    def decide(self, heard: IdentifiedLanguage) -> str:
        """What the utterance is to be decoded as."""
        return self.updated(heard).code or heard.code


UNKNOWN: Final = LanguageHold()


def identify(
    probabilities: Mapping[str, float], allowed: Collection[str], speech_s: float
) -> IdentifiedLanguage:
    """Of Whisper's probabilities of all languages; `allowed`: codes, none of them for any."""
    shares = {code: probabilities[code] for code in allowed} or dict(probabilities)
    code = max(shares, key=shares.__getitem__)
    total = sum(shares.values())
    return IdentifiedLanguage(code, shares[code] / total if total else 0.0, speech_s)
