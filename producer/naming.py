"""Stream ids from file names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from schemas.topics import MAX_STREAM_ID_CHARACTERS

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9._:-]+")


def stream_ids(stems: Sequence[str], asked: str | None, run: str) -> list[str]:
    """One valid id for every stem, all different.

    `asked`: the id of a single stream, the prefix of several. Without it every id ends in `run`:
    a stream that is published again under its old id within the hour is taken for a repeat.
    """
    if asked is not None and len(stems) == 1:
        return [asked]
    names = (
        f"{asked}-{stem}" if asked is not None else f"{stem}-{run}" for stem in map(_valid, stems)
    )
    return list(_distinct(names))


def _valid(stem: str) -> str:
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
