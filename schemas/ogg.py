"""Pages of Ogg. Pure."""

from __future__ import annotations

from typing import Final

LONGEST_PAGE: Final = 27 + 255 + 255 * 255  # bytes
_HEADER_BYTES: Final = 27
_FIRST: Final = 2  # flag


def after_page(data: bytes, at: int) -> int | None:
    """Return the byte after the page at this byte, which may be beyond the data; None: no page."""
    segments = at + _HEADER_BYTES
    if data[at : at + 4] != b"OggS" or len(data) <= segments:
        return None
    count = data[segments - 1]
    return segments + count + sum(data[segments : segments + count])


def begins_stream(data: bytes, at: int) -> bool:
    """Whether the page at this byte is the first of its logical stream."""
    return bool(data[at + 5] & _FIRST)


def ends_within_page(tail: bytes) -> bool:
    """Whether the last page is cut, as seen from the last `LONGEST_PAGE` bytes, or more."""
    at = tail.rfind(b"OggS")
    after = after_page(tail, at) if at >= 0 else None
    return at >= 0 and (after is None or after > len(tail))
