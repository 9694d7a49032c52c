"""Record headers: their limits, and exact parsing of untrusted values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final, TypeAlias

from schemas.audio import MAX_HEADER_BYTES, MAX_HEADERS
from schemas.errors import Reason, WireError

Headers: TypeAlias = Sequence[tuple[str, bytes | None]]  # in order; Kafka allows null values

Header: TypeAlias = tuple[str, bytes]

_SWITCHES: Final = {b"1": True, b"0": False, b"true": True, b"false": False}
_SHOWN_BYTES = 40  # of a wrong value in a message


def check_limits(headers: Headers) -> None:
    """Raise WireError if a record has too many headers, or too many bytes in them."""
    if len(headers) > MAX_HEADERS:
        raise WireError(
            Reason.TOO_MANY_HEADERS, f"{len(headers)} headers: send at most {MAX_HEADERS}"
        )
    size = 0
    for name, value in headers:
        # Most names are ASCII, of which the length is known without encoding them.
        size += len(name) if name.isascii() else len(name.encode())
        if value:
            size += len(value)
    if size > MAX_HEADER_BYTES:
        raise WireError(
            Reason.HEADERS_TOO_LARGE, f"{size} bytes of headers: send at most {MAX_HEADER_BYTES}"
        )


def shown(value: bytes) -> str:
    """Return a value as short printable text for a message."""
    text = value[:_SHOWN_BYTES].decode("ascii", "backslashreplace")
    return ascii(text) + ("..." if len(value) > _SHOWN_BYTES else "")


def decimal(known: Mapping[str, bytes | None], name: str, *, most: int) -> int | None:
    """Return the header as a number from 0 to `most`, or None if it is absent.

    Raises WireError for anything but ASCII digits in that range.
    """
    if (value := known.get(name)) is None:
        return None
    # bytes.isdigit accepts ASCII only; the length limit keeps int() from parsing kilobytes.
    if value.isdigit() and len(value) <= _digits(most) and (number := int(value)) <= most:
        return number
    raise WireError(
        Reason.BAD_HEADER, f"header {name} is {shown(value)}: send a decimal number up to {most}"
    )


@cache
def _digits(most: int) -> int:
    return len(str(most))


def flag(known: Mapping[str, bytes], name: str) -> bool:
    """Return whether the header is `1`; absent means `0`. Raises WireError for other values."""
    if (value := known.get(name)) is None:
        return False
    if (meant := switch(value)) is None:
        raise WireError(
            Reason.BAD_HEADER, f"header {name} is {shown(value)}: send 1, or leave it out"
        )
    return meant


def switch(value: bytes) -> bool | None:
    """Return what `1`, `0`, or `true`, `false` in any case, mean; None for another value."""
    return _SWITCHES.get(value.lower())


def fitting(headers: Iterable[Header], optional: Iterable[Header]) -> list[Header]:
    """Return the headers, and those of `optional` that keep within the limits, shortest first."""
    kept = list(headers)
    room = MAX_HEADER_BYTES - sum(map(_size, kept))
    for header in sorted(optional, key=_size):
        if _size(header) <= room and len(kept) < MAX_HEADERS:
            kept.append(header)
            room -= _size(header)
    return kept


def _size(header: Header) -> int:
    name, value = header
    return len(name.encode()) + len(value)
