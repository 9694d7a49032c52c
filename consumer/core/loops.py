"""Words said over and over: what a decoder writes that has lost its way.

Whisper's own test, how well a text compresses, sees long loops only: "词曲 词曲 词曲" compresses no
better than a sentence. Here the longest run of one phrase is found, however short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consumer.core.units import keys

LONGEST_PHRASE: Final = 12  # units
_RUN_UNITS, _RUN_REPEATS = 8, 4  # from these on nobody speaks so: "no no no no" and "对对对对" do


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """A phrase that comes several times in a row."""

    units: int = 0  # of all of them
    repeats: int = 0  # the last one may be incomplete, and is not counted then

    @property
    def is_loop(self) -> bool:
        return self.units >= _RUN_UNITS and self.repeats >= _RUN_REPEATS


def longest_run(said: Sequence[str]) -> Run:
    """Of at least three repeats; `said` are the keys of a text, unit by unit."""
    phrases = range(1, min(LONGEST_PHRASE, len(said) // 3) + 1)
    return max((_run(said, phrase) for phrase in phrases), default=Run())


def is_loop(text: str) -> bool:
    """Whether it is worth another decode."""
    return longest_run(keys(text)).is_loop


def _run(said: Sequence[str], phrase: int) -> Run:
    """The longest of phrases of that many units."""
    longest = same = 0
    for left, right in zip(said, said[phrase:], strict=False):  # each with the one a phrase later
        same = same + 1 if left == right else 0
        longest = max(longest, same)
    units = longest + phrase
    return Run(units, units // phrase) if units >= 3 * phrase else Run()
