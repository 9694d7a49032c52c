"""Partials: which part of an open utterance's text is stable, and which may still change.

LocalAgreement-2 (Liu et al. 2020; Machacek et al. 2023, "Turning Whisper into Real-Time
Transcription System"): the utterance is decoded again as it grows, and the prefix that two
successive decodes have in common becomes stable. Stable text never changes: a later decode that
differs from it is aligned with it, and only the text after the best alignment is used.

Decodes of almost the same audio make the same errors, so improbable words need more than two. A
word is stable once its probabilities in successive decodes add up to `ENOUGH`, which a single one
cannot reach, and the newest is at least `LIKELY` (docs/quality.md has the figures). A decode of
audio that ends in silence counts three times: it is the final's text unless speech resumes. Words
that a split may still move into the next utterance stay tentative.

Words are compared, in Chinese characters (`units.py`), without case and punctuation. The
punctuation after the last stable word stays tentative, because a decode often ends with a full stop
that the next one does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import inf
from typing import Final, NamedTuple

from consumer.core.text.hypothesis import Hypothesis
from consumer.core.text.units import Kind, Unit, keys, kind, units

ENOUGH: Final = 1.2  # sum of a word's probabilities in successive decodes
LIKELY: Final = 0.4  # probability of a word in the newest decode
_ENDING_WEIGHT: Final = 3  # of a decode of audio that ends in silence
_UNDECODABLE: Final = "\ufffd"  # at the end of a text that was cut inside a character


class _UnitTiming(NamedTuple):
    """Probability and end of the word that contains a unit."""

    probability: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """The text of an open utterance so far: `stable` + `tentative`."""

    stable: str = ""  # never changed again
    tentative: str = ""
    revision: int = 0  # decodes so far
    stable_keys: tuple[str, ...] = ()  # keys of the stable text
    latest: tuple[str, ...] = ()  # keys of the tentative text
    weights: tuple[float, ...] = ()  # of each: sum of its probabilities in successive decodes

    def revise(
        self, hypothesis: Hypothesis, *, uncut_s: float = inf, is_ending: bool = False
    ) -> Agreement:
        """Return the agreement after a new decode, from the same first sample to a later end.

        `is_ending`: the audio ends in silence. Words that end after `uncut_s` may still be split
        off. A hypothesis without words counts as certain and not to be split.
        """
        decoded = _keyed_units(hypothesis.text)
        at = align_prefix(self.stable_keys, [unit.key for unit in decoded])[0]
        trail = decoded[at - 1].trail if at and self.stable_keys else ""
        rest = decoded[at:]
        timings = _timings(hypothesis, decoded)[at:]
        weight = _ENDING_WEIGHT if is_ending else 1
        probabilities = [weight * each.probability for each in timings]
        weights = self._weights([unit.key for unit in rest], probabilities)
        agreed = _count_stable(weights, timings, uncut_s)
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
        """Return the sum for each unit over the successive decodes that agree up to it."""
        common = _common_prefix(rest, self.latest)
        before = [*self.weights[:common], *([0.0] * (len(rest) - common))]
        return tuple(w + p for w, p in zip(before, probabilities, strict=True))

    @property
    def text(self) -> str:
        return self.stable + self.tentative


def align_prefix(stable: Sequence[str], decoded: Sequence[str]) -> tuple[int, int]:
    """Return the length of the prefix of `decoded` that fits `stable` best, and its edits.

    Edits are Levenshtein's. Of several prefixes with the fewest it is the one nearest in length.
    What both begin with needs no edits.
    """
    common = _common_prefix(stable, decoded)
    rest = stable[common:]
    row = list(range(len(decoded) - common + 1))
    for i, left in enumerate(rest, start=1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(decoded[common:], start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
    end = min(range(len(row)), key=lambda j: (row[j], abs(j - len(rest))))
    return common + end, row[end]


def _keyed_units(text: str) -> list[Unit]:
    """Return the units that are not punctuation alone, without undecodable characters."""
    return [unit for unit in units(text.replace(_UNDECODABLE, "")) if unit.key]


def _timings(hypothesis: Hypothesis, decoded: Sequence[Unit]) -> list[_UnitTiming]:
    """Return the timing of each unit; improbable from where words and text differ."""
    if hypothesis.words is None:
        return [_UnitTiming(1.0, 0.0)] * len(decoded)
    timed = [(key, word) for word in hypothesis.words for key in keys(word.text)]
    common = _common_prefix([key for key, _ in timed], [unit.key for unit in decoded])
    known = [_UnitTiming(word.probability, word.end_s) for _, word in timed[:common]]
    return known + [_UnitTiming(0.0, inf)] * (len(decoded) - common)


def _count_stable(weights: Sequence[float], timings: Sequence[_UnitTiming], uncut_s: float) -> int:
    """Return how many leading units are stable."""
    agreed = (
        weight >= ENOUGH and word.probability >= LIKELY and word.end_s <= uncut_s
        for weight, word in zip(weights, timings, strict=True)
    )
    return sum(1 for _ in takewhile(bool, agreed))


def _common_prefix(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the common prefix."""
    pairs = zip(one, other, strict=False)  # up to the end of the shorter
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _joined(stable: str, trail: str, rest: Sequence[Unit]) -> str:
    """Return the text, its punctuation and `rest`, with a space where words would merge."""
    tail = trail + "".join(unit.text for unit in rest)
    if not stable:
        return tail.lstrip()
    merges = tail and kind(tail[0]) is Kind.LETTER and kind(stable[-1]) is Kind.LETTER
    return f"{stable} {tail}" if merges else stable + tail
