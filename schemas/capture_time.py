"""The header `captured_ms`: the wall time of a record's first sample.

It orders nothing, so no value of it costs the record. Times of this century in other units are a
thousandfold apart, so that a number is a time in one unit at most.
"""

from __future__ import annotations

import re
from typing import Final

from schemas.headers import shown

_YEAR_1971_MS: Final = 31_536_000_000
_YEAR_2000_S, _YEAR_2100_S = 946_684_800, 4_102_444_800
_YEAR_2100_MS: Final = _YEAR_2100_S * 1000
# The earliest milliseconds are those of 1971: as seconds they would lie beyond 2100.
_OTHER_UNITS: Final = {"seconds": 1, "microseconds": 10**6, "nanoseconds": 10**9}  # per second
_DIGITS: Final = 13  # of milliseconds from 2001 on
_NUMBER: Final = re.compile(rb"([0-9]{1,19})(\.[0-9]{1,19})?")


def capture_time(value: bytes | None) -> tuple[int | None, tuple[str, ...]]:
    """Return the Unix time in ms, or None, and one line if the value is no time in ms."""
    if value is None:
        return None, ()
    if len(value) == _DIGITS and value.isdigit() and (number := int(value)) < _YEAR_2100_MS:
        return number, ()
    if (match := _NUMBER.fullmatch(value)) is None:
        return None, (_ignored(value),)
    number, fraction = int(match[1]), match[2]
    if _YEAR_1971_MS <= number < _YEAR_2100_MS:
        return number, () if fraction is None else (_converted(value, "milliseconds"),)
    for unit, per_second in _OTHER_UNITS.items():
        if _YEAR_2000_S * per_second <= number < _YEAR_2100_S * per_second:
            return _in_ms(number, fraction, per_second), (_converted(value, unit),)
    return None, (_ignored(value),)


def _in_ms(number: int, fraction: bytes | None, per_second: int) -> int:
    if per_second > 1:
        return number * 1000 // per_second
    return number * 1000 + int(((fraction or b".") + b"000")[1:4])


def _converted(value: bytes, unit: str) -> str:
    return f"captured_ms: {shown(value)} is understood as {unit}; send whole milliseconds"


def _ignored(value: bytes) -> str:
    return f"captured_ms: {shown(value)} is no Unix time in milliseconds; the append time applies"
