"""How much of an utterance's text is what was said, whichever way numbers are written."""

from __future__ import annotations

from typing import Final

import jiwer

from evaluation.scoring import ErrorUnit, tokens, unit_of

_CHINESE_DIGITS: Final = str.maketrans("0123456789", "零一二三四五六七八九")


def accuracy(reference: str, text: str, language: str) -> tuple[float, int]:
    """1 - error rate, at least 0, and the words (Chinese: characters) that were said.

    "3 5 1", "351" and "three five one" are the same; so are 3 and 三.
    """
    said, heard = (_spoken(each, language) for each in (reference, text))
    counts = jiwer.process_words(" ".join(said), " ".join(heard))
    errors = counts.substitutions + counts.deletions + counts.insertions
    return max(0.0, 1 - errors / len(said)), len(said)


def _spoken(text: str, language: str) -> list[str]:
    words = tokens(text, language)
    if unit_of(language) is ErrorUnit.CHARACTERS:
        return [word.translate(_CHINESE_DIGITS) for word in words]
    parts = (part for word in words for part in (word if word.isdecimal() else (word,)))
    return ["one" if part == "1" else part for part in parts]  # the normaliser's, when alone
