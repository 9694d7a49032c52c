"""Units of text: words where a script separates them by spaces, else characters.

Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces: there a unit is one
character with its marks. A mixed text has units of both kinds: "用Python写" has three.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

_Blocks: TypeAlias = tuple[tuple[int, int], ...]  # first and last code points

_HAN: Final[_Blocks] = (
    (0x3005, 0x3007),  # iteration mark, zero
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_UNSPACED: Final[_Blocks] = (
    *_HAN,
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0xFF66, 0xFF9F),
)
# Whisper codes: languages whose words Whisper takes to be single characters.
UNSPACED_LANGUAGES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
_JOINERS: Final = "\u200c\u200d"  # zero-width: they join two code points to one character


class Kind(StrEnum):
    """The kind of a code point, in one letter: the kinds of a text join to a pattern of it."""

    LETTER = "L"  # part of a word; digits too
    CHARACTER = "C"  # a unit of its own
    MARK = "M"  # belongs to the character before it
    SPACE = "S"
    OPENING = "O"  # belongs to the following unit
    CLOSING = "P"  # other punctuation and symbols: belongs to the preceding unit


# A unit by the kinds of its code points: a word or a character, after what belongs to it. A mark
# or a symbol before the first letter of a text begins its unit.
_UNIT: Final = re.compile("[MSOP]*(?:L[LMP]*|C[MP]*)|[MSOP]+")
_CORE, _AROUND = "LCM", "SOP"  # the kinds that a key is made of, and the others
_MARK: Final = "\ufffe"  # a code point that no text has
_KNOWN_KINDS: Final = 1 << 14  # code points whose kind is kept
_TEXTS: Final = 1024  # and words, whose units are kept: each is compared several times


class Unit(NamedTuple):
    """One word or character."""

    text: str  # with the space and opening marks before it and the trail after it
    key: str  # for comparison, without case, width and punctuation; empty: punctuation alone
    trail: str  # the punctuation after it


def units(text: str) -> list[Unit]:
    """Return the units of a text; their texts join to it."""
    return [*_units(text)]


def keys(text: str) -> list[str]:
    """Return the keys of a text's units, without those of punctuation alone."""
    bare = text.translate(_BARE)
    if bare.isascii():
        return bare.lower().split()
    if _MARK in bare:
        return [unit.key for unit in _units(text) if unit.key]
    if unicodedata.is_normalized("NFKC", bare):
        return bare.casefold().split()
    return [_key(each) for each in bare.split()]


def is_han(character: str) -> bool:
    return _lies_in(character, _HAN)


@lru_cache(maxsize=_KNOWN_KINDS)
def kind(character: str) -> Kind:
    """Return the kind of a single code point, by its Unicode category."""
    category = unicodedata.category(character)
    if character.isspace():
        return Kind.SPACE
    if category[0] == "M" or character in _JOINERS:
        return Kind.MARK
    if category[0] in "LN":
        return Kind.CHARACTER if _lies_in(character, _UNSPACED) else Kind.LETTER
    return Kind.OPENING if category in {"Ps", "Pi"} else Kind.CLOSING


@lru_cache(maxsize=_TEXTS)
def _units(text: str) -> tuple[Unit, ...]:
    kinds = "".join(map(kind, text))
    core = [each if its_kind in _CORE else "" for each, its_kind in zip(text, kinds, strict=True)]
    spans = (match.span() for match in _UNIT.finditer(kinds))
    return tuple(
        _unit(text[start:end], kinds[start:end], "".join(core[start:end])) for start, end in spans
    )


def _unit(piece: str, kinds: str, core: str) -> Unit:
    """Return the unit of a piece of text; `core`: its letters, characters and marks."""
    return Unit(piece, _key(core), piece[len(kinds.rstrip(_AROUND)) :] if core else "")


def _key(bare: str) -> str:
    return unicodedata.normalize("NFKC", bare).casefold()


class _BareUnits(dict[int, str | None]):
    """A table for `str.translate`: words and characters alone, with spaces between them.

    Any mark becomes `_MARK`: which unit it belongs to depends on more than what is next to it.
    """

    def __missing__(self, code_point: int) -> str | None:
        bare = _bare(chr(code_point))
        if len(self) >= _KNOWN_KINDS:  # the text of a publisher may have any
            self.clear()
        self[code_point] = bare
        return bare


def _bare(character: str) -> str | None:
    found = kind(character)
    if found is Kind.LETTER:
        return character
    if found is Kind.CHARACTER:
        return f" {character} "
    if found is Kind.CLOSING:
        return None
    return _MARK if found is Kind.MARK else " "


_BARE: Final = _BareUnits()


def _lies_in(character: str, blocks: _Blocks) -> bool:
    return any(first <= ord(character) <= last for first, last in blocks)
