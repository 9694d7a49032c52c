"""Transcribe many inputs: found in order, read a few at a time, written as they are done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

from captions.errors import FormatError
from offline.errors import TranscriptionError
from offline.plan import FileTask
from offline.progress import Failure, FileReporter
from offline.service import IN_FLIGHT, OfflineService
from offline.transcript import Transcript
from producer.errors import MediaError
from producer.media import BlockingInput
from schemas.audio import StreamOptions

_Opened: TypeAlias = tuple[FileTask, BlockingInput]


class BatchRun:
    """One run. `done` and `failures` are valid at any time, also after a cancellation."""

    def __init__(
        self, service: OfflineService, options: StreamOptions, reporter: FileReporter
    ) -> None:
        self.done = 0
        self.failures: list[Failure] = []
        self._service, self._options, self._reporter = service, options, reporter
        self._opened: asyncio.Queue[_Opened | None] = asyncio.Queue()

    async def run(self, tasks: Sequence[FileTask]) -> None:
        """Transcribe the inputs. What concerns one of them is among `failures`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._open_all(tasks))
            for _ in range(IN_FLIGHT):
                group.create_task(self._work())

    async def _open_all(self, tasks: Sequence[FileTask]) -> None:
        """Open the inputs ahead of their turns, so that the length of all is known early."""
        for task in tasks:
            try:
                source = await asyncio.to_thread(task.open)
            except MediaError as error:
                self._fail(task, str(error))
                continue
            self._reporter.found(source.seconds)
            self._opened.put_nowait((task, source))
        self._opened.put_nowait(None)

    async def _work(self) -> None:
        while (opened := await self._opened.get()) is not None:
            await self._transcribe(*opened)
        self._opened.put_nowait(None)  # for the others

    async def _transcribe(self, task: FileTask, source: BlockingInput) -> None:
        def advanced(seconds: float) -> None:
            self._reporter.advanced(task.name, seconds, source.seconds)

        try:
            transcript = await self._service.transcribe(source, self._options, advanced)
            outputs = await asyncio.to_thread(task.output.write, transcript)
        except (MediaError, TranscriptionError, FormatError) as error:
            self._fail(task, str(error))
        except OSError as error:
            self._fail(task, f"cannot be written: {error.strerror}")
        else:
            self._report(task, transcript, outputs)

    def _report(self, task: FileTask, transcript: Transcript, outputs: Sequence[str]) -> None:
        for warning in transcript.warnings:
            self._reporter.warned(task.name, _without_name(task, warning))
        self._reporter.done(task.name, transcript.seconds, outputs)
        for problem in transcript.problems:
            self._fail(task, f"incomplete: {_without_name(task, problem)}")
        self.done += not transcript.problems

    def _fail(self, task: FileTask, reason: str) -> None:
        failure = Failure(task.name, _without_name(task, reason))
        self.failures.append(failure)
        self._reporter.failed(failure)


def _without_name(task: FileTask, line: str) -> str:
    return line.removeprefix(f"{task.name}: ")
