"""The files that the command line names, those within folders too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

# Of files within folders; a file that is named itself may have any ending.
MEDIA_SUFFIXES: Final = frozenset(
    (
        *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".alac", ".amr", ".ape", ".au"),
        *(".avi", ".caf", ".flac", ".flv", ".gsm", ".m4a", ".m4b", ".m4v", ".mka", ".mkv"),
        *(".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mts", ".oga", ".ogg", ".ogv"),
        *(".opus", ".ra", ".snd", ".spx", ".ts", ".wav", ".wave", ".webm", ".wma", ".wmv"),
        *(".wv", ".w64"),
    )
)


class FileInput(NamedTuple):
    """A file to transcribe."""

    path: Path  # as named, or below the folder that was named
    root: Path  # the folder that was named, else that of the file


def expanded(arguments: Iterable[str]) -> Iterator[FileInput | Path]:
    """Yield the files in order, each once, and each folder without any.

    Folders are searched with all those below them; files and folders whose names begin with a dot
    are left out.
    """
    seen: set[str] = set()
    for path in map(Path, arguments):
        found = list(_within(path)) if path.is_dir() else [FileInput(path, path.parent)]
        if not found:
            yield path
        for each in found:
            if (real := os.path.realpath(each.path)) not in seen:
                seen.add(real)
                yield each


def _within(folder: Path) -> Iterator[FileInput]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in MEDIA_SUFFIXES:
                yield FileInput(Path(parent, name), folder)
