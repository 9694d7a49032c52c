"""The start position of a reader: `--from beginning | now | TIME`."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGO = re.compile(r"(\d{1,6})([smhd])")
_FIRST_PLAUSIBLE_MS: Final = 10**11  # 1973 in milliseconds: a smaller number is in other units
_LAST_MS: Final = 2**62  # the broker counts in 64 bits

START_HELP: Final = (
    "beginning, now, how long ago (90s, 10m, 2h, 1d), 2026-07-08T09:41:07Z, or Unix ms"
)


class Edge(StrEnum):
    BEGINNING = "beginning"
    NOW = "now"


Start: TypeAlias = Edge | int  # int: the first event appended at or after that Unix time, in ms


def parse_start(text: str, now_ms: int) -> Start:
    """Return the start that `text` names, in a form of `START_HELP`. Raises ValueError."""
    if text in set(Edge):
        return Edge(text)
    if ago := _AGO.fullmatch(text):
        return max(0, now_ms - int(ago[1]) * _UNIT_MS[ago[2]])
    return _unix_ms(text) if text.isdecimal() else _instant_ms(text)


def _unix_ms(text: str) -> int:
    if not _FIRST_PLAUSIBLE_MS <= int(text) < _LAST_MS:
        raise ValueError(f"{text} is no Unix time in milliseconds, as in 1783503667000")
    return int(text)


def _instant_ms(text: str) -> int:
    """Return the Unix time in ms of an RFC 3339 text, which must have a time and a zone."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of: {START_HELP}") from None
    if instant.tzinfo is None:
        raise ValueError(f"{text} needs a time and its zone, as in 2026-07-08T09:41:07Z")
    return max(0, round(instant.timestamp() * 1_000))
