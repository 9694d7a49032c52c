"""Text for terminals; foreign text is escaped, so that it cannot steer the terminal."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Final

from rich.console import Console

_STEERING: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # controls, surrogates, line breaks
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class PipeConsole(Console):
    """A console that raises `BrokenPipeError`, where rich would exit with 1 by itself."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def printable(text: str) -> str:
    """Escape whatever moves the cursor, changes colours or reorders the text beside it."""
    return "".join(map(_escaped, text))


def count(number: int, noun: str) -> str:
    """Return the number and its noun, in the plural where it has to be."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def local_time(time_ms: int) -> datetime | None:
    """Return the local time of a Unix time, or None for one that no calendar has."""
    try:
        return datetime.fromtimestamp(time_ms / 1_000).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _escaped(character: str) -> str:
    if unicodedata.category(character) in _STEERING or character in _BIDI:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character
