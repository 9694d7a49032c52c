"""The share of an utterance's words that are correct, however numbers are written."""

from __future__ import annotations

from typing import Final

import jiwer

from evaluation.scoring import ErrorUnit, tokens, unit_of

_CHINESE_DIGITS: Final = str.maketrans("0123456789", "零一二三四五六七八九")


def accuracy(reference: str, text: str, language: str) -> tuple[float, int]:
    """Return 1 - error rate, at least 0, and the number of words (Chinese: characters).

    "3 5 1", "351" and "three five one" are equal; so are 3 and 三.
    """
    expected, found = (_spoken(each, language) for each in (reference, text))
    counts = jiwer.process_words(" ".join(expected), " ".join(found))
    errors = counts.substitutions + counts.deletions + counts.insertions
    return max(0.0, 1 - errors / len(expected)), len(expected)


def _spoken(text: str, language: str) -> list[str]:
    words = tokens(text, language)
    if unit_of(language) is ErrorUnit.CHARACTERS:
        return [word.translate(_CHINESE_DIGITS) for word in words]
    parts = (part for word in words for part in (word if word.isdecimal() else (word,)))
    return ["one" if part == "1" else part for part in parts]  # the normaliser keeps a lone "one"
