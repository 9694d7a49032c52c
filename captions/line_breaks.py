"""The pieces of a text between which a line may end, and the width of text.

Breaks are those of UAX 14 (uniseg), so no line begins with a closing mark or ends with an opening
one. Words of scripts with spaces are kept whole, Korean included; where a word is longer than a
line, it is divided where UAX 14 allows it, otherwise between characters as readers see them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from rich.cells import cell_len
from uniseg.graphemecluster import grapheme_clusters
from uniseg.linebreak import line_break_units

NARROW_COLUMNS: Final = 42  # of a line in a script of narrow characters
WIDE_CHARACTERS: Final = 20  # of a line in a script of full-width characters
FULL_LINE: Final = NARROW_COLUMNS * WIDE_CHARACTERS  # in units of `width`

# Pieces of texts whose breaks need no tables, which take long: words between spaces, and Chinese
# characters and words with full-width marks. A test compares them with those of UAX 14.
_PLAIN: Final = re.compile(
    r"(?<![^ ])[A-Za-z0-9][!-~]*(?: |\Z)"
    r"|[（「『【《]*(?:[A-Za-z0-9]+|[一-鿿])[，。！？；：、）」』】》]* ?"
)
_HANGUL: Final = (range(0x1100, 0x1200), range(0x3130, 0x3190), range(0xAC00, 0xD7B0))


def width(text: str) -> int:
    """Return the width of a text: `FULL_LINE` is that of a full line, in either kind of script."""
    if text.isascii():
        return len(text) * WIDE_CHARACTERS
    return sum(map(_width, text))


def pieces(text: str) -> list[str]:
    """Return the words of a text, those divided that are wider than a line."""
    return [part for word in words(text) for part in _divided(word)]


@lru_cache(maxsize=1_024)
def words(text: str) -> tuple[str, ...]:
    """Return the pieces between which a line may end; they join to the text.

    `text` is one line, with single spaces, which are at the ends of the pieces.
    """
    found = _PLAIN.findall(text)
    return tuple(found) if sum(map(len, found)) == len(text) else tuple(uax14_words(text))


def uax14_words(text: str) -> list[str]:
    """Return the units of UAX 14, those of one word joined."""
    found: list[str] = []
    for unit in line_break_units(text):
        if found and not _may_break(found[-1][-1], unit[0]):
            found[-1] += unit
        else:
            found.append(unit)
    return found


def _may_break(before: str, after: str) -> bool:
    return before == " " or _is_unspaced(before) or _is_unspaced(after)


def _is_unspaced(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in {"W", "F"}
    return wide and not any(ord(character) in block for block in _HANGUL)


def _divided(word: str) -> Iterator[str]:
    if width(word.rstrip()) <= FULL_LINE:
        yield word
        return
    for unit in line_break_units(word):
        if width(unit.rstrip()) <= FULL_LINE:
            yield unit
        else:
            yield from _clusters(unit)


def _clusters(unit: str) -> Iterator[str]:
    """Yield characters as readers see them; one that alone is wider than a line is divided."""
    for cluster in grapheme_clusters(unit):
        if width(cluster) <= FULL_LINE:
            yield cluster
        else:
            yield from cluster


@lru_cache(maxsize=8_192)
def _width(character: str) -> int:
    return {0: 0, 1: WIDE_CHARACTERS}.get(cell_len(character), NARROW_COLUMNS)
