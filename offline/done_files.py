"""Which files are done: a list in each folder that outputs are written to.

An input is done if its size, its time of change and the options are those of the list, and all
files that are wanted exist. Files that are not in the list are never replaced.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

LIST_NAME: Final = ".streamscribe-transcribe.jsonl"


class DoneFile(msgspec.Struct, frozen=True):
    """One input that was transcribed."""

    source: str  # absolute path
    size: int  # bytes
    mtime_ns: int
    options: dict[str, str]  # those on which the text depends
    name: str  # of the outputs, without their endings, relative to the folder of the list
    suffixes: tuple[str, ...]  # the endings


class DoneFiles:
    """The list of one folder. Its last line may be incomplete: the process was killed."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if there is a list that cannot be read."""
        self.folder = folder
        self._list = folder / LIST_NAME
        lines = self._list.read_bytes() if self._list.exists() else b""
        self._line_begin = b"" if lines.endswith(b"\n") or not lines else b"\n"
        self._by_source = {done.source: done for done in _decoded(lines)}

    @property
    def owners(self) -> dict[Path, Path]:
        """The input of each name, both as paths."""
        return {self.folder / done.name: Path(d) for d, done in self._by_source.items()}

    def find(self, now: DoneFile) -> DoneFile | None:
        """Return the entry if that input is done: nothing of `now` has to be written."""
        done = self._by_source.get(now.source)
        if done is None or _identity(done) != _identity(now):
            return None
        has_all = set(now.suffixes) <= set(done.suffixes)
        return done if has_all and all(map(os.path.exists, self.paths(now))) else None

    def foreign(self, now: DoneFile) -> list[Path]:
        """Return the files that exist and would be replaced, and are not in the list."""
        done = self._by_source.get(now.source)
        own = set(self.paths(done)) if done is not None else set()
        return [path for path in self.paths(now) if path not in own and path.exists()]

    def paths(self, done: DoneFile) -> list[Path]:
        """Return the outputs of an entry."""
        return [self.folder / f"{done.name}{suffix}" for suffix in done.suffixes]

    def add(self, done: DoneFile) -> None:
        """Add an entry, on the disk too. Raises OSError."""
        earlier = self._by_source.get(done.source)
        if earlier is not None and _identity(earlier) == _identity(done):
            suffixes = dict.fromkeys((*earlier.suffixes, *done.suffixes))
            done = msgspec.structs.replace(done, suffixes=tuple(suffixes))
        self._by_source[done.source] = done
        with self._list.open("ab") as file:
            file.write(self._line_begin + msgspec.json.encode(done) + b"\n")
        self._line_begin = b""


def _identity(done: DoneFile) -> tuple[object, ...]:
    return done.source, done.size, done.mtime_ns, done.options, done.name


def _decoded(lines: bytes) -> Iterator[DoneFile]:
    decoder = msgspec.json.Decoder(DoneFile)
    for line in lines.splitlines():
        with suppress(msgspec.DecodeError):
            yield decoder.decode(line)
