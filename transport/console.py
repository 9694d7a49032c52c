"""Text for terminals; foreign text is escaped, so that it cannot control the terminal."""

from __future__ import annotations

import logging
import unicodedata
from datetime import datetime
from typing import Final

from rich.console import Console

_CONTROL: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))  # controls, surrogates, line breaks
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class PipeConsole(Console):
    """A console that raises `BrokenPipeError` where rich itself would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def silence_client_log() -> None:
    """Turn off aiokafka's log, for commands that report its errors as one line of their own."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def printable(text: str) -> str:
    """Escape characters that move the cursor, change colours or reorder adjacent text."""
    return "".join(map(_escaped, text))


def encodable(text: str, encoding: str) -> str:
    """Escape characters that the encoding does not have."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def count(number: int, noun: str) -> str:
    """Return the number and its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def local_time(time_ms: int) -> datetime | None:
    """Return the local time of a Unix time, or None if it is out of datetime's range."""
    try:
        return datetime.fromtimestamp(time_ms / 1_000).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _escaped(character: str) -> str:
    if unicodedata.category(character) in _CONTROL or character in _BIDI:
        return character.encode("unicode_escape", "surrogatepass").decode()
    return character
