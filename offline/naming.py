"""The names of the files that are written. Pure.

A name belongs to one input, in this run and later ones: of two inputs that would have the same
name, the second gets a longer one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from offline.inputs import FileInput


class OutputNames:
    """Assigns names without endings. `owners`: those of earlier runs, name to input."""

    def __init__(self, out: Path | None, owners: Mapping[Path, Path]) -> None:
        """`out`: the folder for all of them; None: beside each input."""
        self._out = out
        self._names = {source: name for name, source in owners.items()}
        self._owners = {_key(name): source for name, source in owners.items()}

    def assign(self, item: FileInput, source: Path) -> Path:
        """Return the name for an input; `source` is its absolute path."""
        if source not in self._names:
            names = _candidates(item, source, self._out)
            name = next(name for name in names if _key(name) not in self._owners)
            self._names[source], self._owners[_key(name)] = name, source
        return self._names[source]


def _candidates(item: FileInput, source: Path, out: Path | None) -> Iterator[Path]:
    """Yield names from the shortest on; the last belongs to this input alone."""
    path, stem = item.path, item.path.stem
    folder = path.parent if out is None else out / path.parent.relative_to(item.root)
    yield folder / stem
    if out is not None:
        yield folder / source.parent.name / stem
    yield folder / path.name
    yield folder / f"{path.name}-{hashlib.sha256(bytes(source)).hexdigest()}"


def _key(name: Path) -> str:
    """Return what is the same for names that are one on some file systems."""
    return str(name).casefold()
