"""Word and character error rates: edits / reference length, each summed before the division.

English: words, after Whisper's own `EnglishTextNormalizer` (numbers, spellings, contractions).
Chinese: characters, after NFKC and conversion to Simplified script, without punctuation and spaces;
digits and Chinese numerals are not converted, so "3" for "三" is an error.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import cast

import jiwer
from opencc import OpenCC


class ErrorUnit(StrEnum):
    """The unit in which errors are counted."""

    WORDS = "words"
    CHARACTERS = "characters"

    @property
    def short(self) -> str:
        return "words" if self is ErrorUnit.WORDS else "chars"

    @property
    def rate_name(self) -> str:
        return "WER" if self is ErrorUnit.WORDS else "CER"


@dataclass(frozen=True, slots=True)
class Score:
    """The edits between a hypothesis and its reference, and the reference's length."""

    errors: int  # substitutions + deletions + insertions
    length: int  # of the reference

    @property
    def rate(self) -> float:
        """The error rate, which may exceed 1. Raises ZeroDivisionError for an empty reference."""
        return self.errors / self.length


def unit_of(language: str) -> ErrorUnit:
    return ErrorUnit.CHARACTERS if language == "zh" else ErrorUnit.WORDS


def score(reference: str, hypothesis: str, language: str) -> Score:
    """Return the score of a hypothesis; `language`: "en" or "zh".

    Raises ValueError if the reference has no word or character.
    """
    expected, actual = tokens(reference, language), tokens(hypothesis, language)
    if not expected:
        raise ValueError(f"no {unit_of(language)} in the reference {reference!r}")
    counts = jiwer.process_words(" ".join(expected), " ".join(actual))
    return Score(counts.substitutions + counts.deletions + counts.insertions, len(expected))


def total(scores: Iterable[Score]) -> Score:
    counted = list(scores)
    return Score(sum(one.errors for one in counted), sum(one.length for one in counted))


def tokens(text: str, language: str) -> list[str]:
    """Return what is compared: normalised words, or single characters."""
    return chinese(text) if unit_of(language) is ErrorUnit.CHARACTERS else english(text)


def english(text: str) -> list[str]:
    return english_normalizer()(text).split()


def chinese(text: str) -> list[str]:
    simplified = cast("str", OpenCC("t2s").convert(unicodedata.normalize("NFKC", text).lower()))
    return [character for character in simplified if unicodedata.category(character)[0] in "LMN"]


@cache
def english_normalizer() -> Callable[[str], str]:
    from whisper.normalizers import EnglishTextNormalizer  # loads torch: two seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it does not close its spelling table
        return cast("Callable[[str], str]", EnglishTextNormalizer())
