"""Stream ids from file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from schemas.topics import MAX_STREAM_ID_CHARACTERS

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._:-]+")


def stream_ids(stems: Sequence[str], prefix: str | None, run: str) -> list[str]:
    """Return a valid id for each stem, all different.

    `prefix`: the id of a single stream, the prefix of several. Without it every id ends in `run`,
    because the records of a stream that is published again under the same id within an hour would
    be dropped as duplicates.
    """
    if prefix is not None and len(stems) == 1:
        return [prefix]
    names = (
        f"{prefix}-{stem}" if prefix is not None else f"{stem}-{run}"
        for stem in map(valid_id, stems)
    )
    return list(_distinct(names))


def valid_id(stem: str) -> str:
    """Return the stem with all characters that an id may have; it may be too long for one."""
    return _NOT_ALLOWED.sub("-", stem).strip("-") or "audio"


def _distinct(names: Iterator[str]) -> Iterator[str]:
    taken: set[str] = set()
    for name in names:
        distinct, copy = name[-MAX_STREAM_ID_CHARACTERS:], 1
        while distinct in taken:
            copy += 1
            suffix = f"-{copy}"
            distinct = name[-MAX_STREAM_ID_CHARACTERS + len(suffix) :] + suffix
        taken.add(distinct)
        yield distinct
