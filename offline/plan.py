"""What a run has to do: which inputs are transcribed, and where their transcripts are written."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from captions.formats import FORMATS
from offline import arguments
from offline.done_files import DoneFile, DoneFiles
from offline.inputs import FileInput, expanded
from offline.naming import OutputNames
from offline.progress import Failure
from offline.transcript import Transcript
from producer.arguments import STDIN
from producer.media import BlockingInput, PipeSource, max_open_files, open_input
from transport.files import replace_file

STDIN_NAME: Final = "stdin"  # of the outputs
_FOREIGN: Final = "exists and is not of this command: use --overwrite or --out"


class TranscriptOutput(Protocol):
    """Where the transcript of one input goes."""

    def write(self, transcript: Transcript) -> list[str]:
        """Write the transcript and return the names of the files.

        Raises FormatError, OSError.
        """


@dataclass(frozen=True, slots=True)
class FileOutput:
    """Files of one name, in the folder of a list."""

    files: DoneFiles
    entry: DoneFile  # for the list
    formats: Sequence[str]

    def write(self, transcript: Transcript) -> list[str]:
        paths = self.files.paths(self.entry)
        contents = [transcript.formatted(name) for name in self.formats]
        for path, content in zip(paths, contents, strict=True):
            replace_file(path, content)
        self.files.add(self.entry)
        return [str(path) for path in paths]


@dataclass(frozen=True, slots=True)
class StandardOutput:
    format: str

    def write(self, transcript: Transcript) -> list[str]:
        sys.stdout.buffer.write(transcript.formatted(self.format))
        sys.stdout.buffer.flush()
        return []


@dataclass(frozen=True, slots=True)
class FileTask:
    """One input to transcribe."""

    name: str  # for messages
    open: Callable[[], BlockingInput]  # raises MediaError; reads the beginning of a file
    output: TranscriptOutput


@dataclass(slots=True)
class Plan:
    tasks: list[FileTask] = field(default_factory=list)
    skipped: int = 0  # inputs that are done
    failures: list[Failure] = field(default_factory=list)


class Planning:
    """Makes the plan of a command line."""

    def __init__(self, options: argparse.Namespace, text_options: dict[str, str]) -> None:
        """`text_options`: those on which the texts depend."""
        self._options, self._text_options = options, text_options
        self._formats = list(dict.fromkeys(options.format or ["txt"]))
        self._suffixes = tuple(FORMATS[name].suffix for name in self._formats)
        self._lists: dict[Path, tuple[DoneFiles, OutputNames]] = {}
        self._turns = asyncio.Semaphore(max_open_files())
        self._plan = Plan()

    def plan(self) -> Plan:
        """Return the plan. Raises OSError if a list of done files cannot be read."""
        named = [name for name in self._options.inputs if name != STDIN]
        if STDIN in self._options.inputs:
            self._add_stdin()
        for item in expanded(named):
            if isinstance(item, FileInput):
                self._add(item)
            else:
                self._fail(str(item), "contains no audio or video file")
        return self._plan

    def _add(self, item: FileInput) -> None:
        try:
            found = item.path.stat()
        except OSError as error:
            self._fail(str(item.path), str(error.strerror))
            return
        files, names = self._list(self._options.out or item.path.parent)
        source = Path(os.path.realpath(item.path))
        name = names.assign(item, source).relative_to(files.folder)
        entry = self._entry(str(source), found.st_size, found.st_mtime_ns, str(name))
        self._add_task(str(item.path), partial(open_input, item.path, self._turns), files, entry)

    def _add_stdin(self) -> None:
        source = PipeSource(None, arguments.stdin_format(self._options))
        if self._options.out is None:
            output = StandardOutput(self._formats[0])
            self._plan.tasks.append(FileTask(source.name, lambda: source, output))
            return
        files, _ = self._list(self._options.out)
        entry = self._entry(STDIN, 0, time.time_ns(), STDIN_NAME)  # never the same again
        self._add_task(source.name, lambda: source, files, entry)

    def _add_task(
        self, name: str, open_: Callable[[], BlockingInput], files: DoneFiles, entry: DoneFile
    ) -> None:
        """Add a task, unless it is done or its outputs are not to be written."""
        if not self._options.overwrite:
            if files.find(entry):
                self._plan.skipped += 1
                return
            if foreign := files.foreign(entry):
                self._fail(name, f"{foreign[0]} {_FOREIGN}")
                return
        self._plan.tasks.append(FileTask(name, open_, FileOutput(files, entry, self._formats)))

    def _fail(self, name: str, reason: str) -> None:
        self._plan.failures.append(Failure(name, reason))

    def _entry(self, source: str, size: int, mtime_ns: int, name: str) -> DoneFile:
        return DoneFile(source, size, mtime_ns, self._text_options, name, self._suffixes)

    def _list(self, folder: Path) -> tuple[DoneFiles, OutputNames]:
        if folder not in self._lists:
            files = DoneFiles(folder)
            self._lists[folder] = files, OutputNames(self._options.out, files.owners)
        return self._lists[folder]
