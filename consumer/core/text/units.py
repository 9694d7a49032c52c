"""Units of text: words where a script separates them by spaces, else characters.

Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces: there a unit is one
character with its marks. A mixed text has units of both kinds: "用Python写" has three.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from enum import Enum, auto
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


class Kind(Enum):
    """The kind of a code point."""

    LETTER = auto()  # part of a word; digits too
    CHARACTER = auto()  # a unit of its own
    MARK = auto()  # belongs to the character before it
    SPACE = auto()
    OPENING = auto()  # belongs to the following unit
    CLOSING = auto()  # other punctuation and symbols: belongs to the preceding unit


class Unit(NamedTuple):
    """One word or character."""

    text: str  # with the space and opening marks before it and the trail after it
    key: str  # for comparison, without case, width and punctuation; empty: punctuation alone
    trail: str  # the punctuation after it


def units(text: str) -> list[Unit]:
    """Return the units of a text; their texts join to it."""
    return [_unit(piece) for piece in _pieces(text)]


def keys(text: str) -> list[str]:
    """Return the keys of a text's units, without those of punctuation alone."""
    return [unit.key for unit in units(text) if unit.key]


def is_han(character: str) -> bool:
    return _lies_in(character, _HAN)


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


def _pieces(text: str) -> Iterator[str]:
    piece, core = "", None  # core: the kind of its last letter or character
    for character in text:
        now = kind(character)
        if core is not None and _begins(now, core):
            yield piece
            piece, core = "", None
        piece += character
        core = now if now in {Kind.LETTER, Kind.CHARACTER} else core
    if piece:
        yield piece


def _begins(now: Kind, core: Kind) -> bool:
    """Return whether a code point of that kind begins a new unit after such a core."""
    if now is Kind.LETTER:
        return core is Kind.CHARACTER
    return now in {Kind.CHARACTER, Kind.SPACE, Kind.OPENING}


def _unit(piece: str) -> Unit:
    letters = [at for at, each in enumerate(piece) if _is_core(each)]
    bare = "".join(piece[at] for at in letters)
    key = unicodedata.normalize("NFKC", bare).casefold()
    return Unit(piece, key, piece[letters[-1] + 1 :] if letters else "")


def _is_core(character: str) -> bool:
    return kind(character) in {Kind.LETTER, Kind.CHARACTER, Kind.MARK}


def _lies_in(character: str, blocks: _Blocks) -> bool:
    return any(first <= ord(character) <= last for first, last in blocks)
