"""Partials: which part of an open utterance's text is stable, and which may still change.

LocalAgreement-2 (Liu et al. 2020; Machacek et al. 2023, "Turning Whisper into Real-Time
Transcription System"): the utterance is decoded again as it grows, and what two decodes in a row
say alike becomes stable. Stable text is never taken back, so a later decode that differs in it is
laid beside it where the two fit best, and only what follows is read.

Agreement is of words, in Chinese of characters (`core.units`): case and punctuation may differ. The
punctuation behind the last stable word stays tentative, because what a decode ends with is often a
full stop that the next one does not have. A word that Whisper itself doubts has to wait, and what
follows it: two decodes of almost the same audio err alike (docs/quality.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from consumer.core.units import Kind, Unit, keys, kind, units
from consumer.core.values import Hypothesis

SURE: Final = 0.47  # probability of a word that may become stable; docs/quality.md weighs it
_UNDECODABLE: Final = "\ufffd"  # what a text cut inside a character ends with


@dataclass(frozen=True, slots=True)
class Agreement:
    """An open utterance as heard so far; `stable` + `tentative` is its text."""

    stable: str = ""  # never taken back
    tentative: str = ""
    revision: int = 0  # decodes so far
    said: tuple[str, ...] = ()  # keys of the stable text
    latest: tuple[str, ...] = ()  # keys of what the last decode said behind it

    def revise(self, hypothesis: Hypothesis) -> Agreement:
        """The utterance has been decoded again, from its first sample to a later one.

        Without words in the hypothesis nothing is known to be doubted.
        """
        heard = _heard(hypothesis.text)
        at = fit(self.said, [unit.key for unit in heard])[0]
        trail = heard[at - 1].trail if at and self.said else ""
        rest = heard[at:]
        sure = _sure(hypothesis) - at
        agreed = max(0, min(sure, _common([unit.key for unit in rest], self.latest)))
        whole = _joined(self.stable, trail, rest)
        longer = _joined(self.stable, trail, rest[:agreed])
        stable = longer.removesuffix(rest[agreed - 1].trail) if agreed else self.stable
        return Agreement(
            stable=stable,
            tentative=whole[len(stable) :],
            revision=self.revision + 1,
            said=(*self.said, *(unit.key for unit in rest[:agreed])),
            latest=tuple(unit.key for unit in rest[agreed:]),
        )

    def changed_by(self, final: str) -> int:
        """Words or characters of the stable text that the final does not say alike."""
        return fit(self.said, keys(final))[1]


def fit(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
    """How much of `heard` says what was `said`, and with how many edits (Levenshtein).

    The prefix of fewest edits; of several the one nearest in length.
    """
    row = list(range(len(heard) + 1))
    for i, left in enumerate(said, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(heard, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    end = min(range(len(row)), key=lambda j: (row[j], abs(j - len(said))))
    return end, row[end]


def _heard(text: str) -> list[Unit]:
    """The units that say something, without what could not be decoded."""
    return [unit for unit in units(text.replace(_UNDECODABLE, "")) if unit.key]


def _sure(hypothesis: Hypothesis) -> int:
    """How many units it begins with that it does not doubt."""
    if hypothesis.words is None:
        return len(_heard(hypothesis.text))
    undoubted = takewhile(lambda word: word.probability >= SURE, hypothesis.words)
    return _common(keys("".join(word.text for word in undoubted)), keys(hypothesis.text))


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the prefix that two have in common."""
    pairs = zip(one, other, strict=False)  # up to the end of the shorter
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _joined(stable: str, trail: str, rest: Sequence[Unit]) -> str:
    """Text, the punctuation behind it and what follows, with a space where words would merge."""
    behind = trail + "".join(unit.text for unit in rest)
    if not stable:
        return behind.lstrip()
    merges = behind and kind(behind[0]) is Kind.LETTER and kind(stable[-1]) is Kind.LETTER
    return f"{stable} {behind}" if merges else stable + behind
