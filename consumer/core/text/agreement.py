"""Partials: which part of an open utterance's text is stable, and which may still change.

LocalAgreement-2 (Liu et al. 2020; Machacek et al. 2023, "Turning Whisper into Real-Time
Transcription System"): the utterance is decoded again as it grows, and what two decodes in a row
say alike becomes stable. Stable text is never taken back, so a later decode that differs in it is
laid beside it where the two fit best, and only what follows is read.

Two decodes of almost the same audio err alike: so what Whisper itself doubts takes more than two. A
word is stable once the probabilities that the decodes in a row gave it add up to `ENOUGH`, which no
single one reaches, and the newest gives it `LIKELY` (docs/quality.md has the figures). One of audio
that ends in silence counts thrice: it is the final's, unless speech comes back. What may yet be cut
off, and begin the next utterance, stays tentative.

Agreement is of words, in Chinese of characters (`units.py`): case and punctuation may differ. The
punctuation behind the last stable word stays tentative, because what a decode ends with is often a
full stop that the next one does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf
from typing import Final, NamedTuple

from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.units import Kind, Unit, keys, kind, units

ENOUGH: Final = 1.2  # probabilities of a word, added up; docs/quality.md weighs it


LIKELY: Final = 0.4  # probability of a word in the newest decode


_WHOLE: Final = 3  # times that a decode counts of what seems to have ended


_UNDECODABLE: Final = "\ufffd"  # what a text cut inside a character ends with


class _Spoken(NamedTuple):
    """The word that a unit is of."""

    probability: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """An open utterance as heard so far; `stable` + `tentative` is its text."""

    stable: str = ""  # never taken back
    tentative: str = ""
    revision: int = 0  # decodes so far
    stable_keys: tuple[str, ...] = ()  # keys of the stable text
    latest: tuple[str, ...] = ()  # keys of what the last decode said behind it
    weights: tuple[float, ...] = ()  # of each: its probabilities in all decodes that said so

    def revise(
        self, hypothesis: Hypothesis, *, uncut_s: float = inf, is_ending: bool = False
    ) -> Agreement:
        """The utterance has been decoded again, from its first sample to a later one.

        `is_ending`: it ends in silence. Words that end behind `uncut_s` may yet be cut off. Without
        words in the hypothesis nothing is known to be doubted, nor to end there.
        """
        heard = _heard(hypothesis.text)
        at = align_prefix(self.stable_keys, [unit.key for unit in heard])[0]
        trail = heard[at - 1].trail if at and self.stable_keys else ""
        rest = heard[at:]
        spoken = _spoken(hypothesis, heard)[at:]
        times = _WHOLE if is_ending else 1
        probabilities = [times * each.probability for each in spoken]
        weights = self._weights([unit.key for unit in rest], probabilities)
        agreed = _stable(weights, spoken, uncut_s)
        whole = _joined(self.stable, trail, rest)
        longer = _joined(self.stable, trail, rest[:agreed])
        stable = longer.removesuffix(rest[agreed - 1].trail) if agreed else self.stable
        return Agreement(
            stable=stable,
            tentative=whole[len(stable) :],
            revision=self.revision + 1,
            stable_keys=(*self.stable_keys, *(unit.key for unit in rest[:agreed])),
            latest=tuple(unit.key for unit in rest[agreed:]),
            weights=weights[agreed:],
        )

    def _weights(self, rest: Sequence[str], probabilities: Sequence[float]) -> tuple[float, ...]:
        """Of each unit: the decodes in a row that said the same up to it, with this one."""
        common = _common(rest, self.latest)
        before = [*self.weights[:common], *([0.0] * (len(rest) - common))]
        return tuple(w + p for w, p in zip(before, probabilities, strict=True))

    @property
    def text(self) -> str:
        return self.stable + self.tentative


def align_prefix(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
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


def _spoken(hypothesis: Hypothesis, heard: Sequence[Unit]) -> list[_Spoken]:
    """Of each unit; doubtful from where the words do not say what is heard."""
    if hypothesis.words is None:
        return [_Spoken(1.0, 0.0)] * len(heard)
    told = [(key, word) for word in hypothesis.words for key in keys(word.text)]
    common = _common([key for key, _ in told], [unit.key for unit in heard])
    known = [_Spoken(word.probability, word.end_s) for _, word in told[:common]]
    return known + [_Spoken(0.0, inf)] * (len(heard) - common)


def _stable(weights: Sequence[float], spoken: Sequence[_Spoken], uncut_s: float) -> int:
    """How many of the units, from the first on, are agreed upon."""
    agreed = (
        weight >= ENOUGH and word.probability >= LIKELY and word.end_s <= uncut_s
        for weight, word in zip(weights, spoken, strict=True)
    )
    return sum(1 for _ in takewhile(bool, agreed))


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
