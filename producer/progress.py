"""Progress of publishing: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from producer.publish_streams import InputStream
from transport.console import encodable, printable


def print_error(problem: str) -> None:
    """Print one line to standard error; it may contain any file name."""
    sys.stderr.write(f"streamscribe publish: {printable(problem)}\n")


class _ProblemsToStderr:
    """Prints warnings and failures to standard error, whatever standard output is."""

    def warned(self, item: InputStream, warning: str) -> None:
        self._print_problem(item, f"warning: {warning}")

    def failed(self, item: InputStream, reason: str) -> None:
        self._print_problem(item, reason)

    def _print_problem(self, item: InputStream, problem: str) -> None:
        with suppress(OSError):  # the terminal may be closed
            print_error(f"{problem} (stream {item.stream_id})")


class Bars(_ProblemsToStderr):
    """One bar per stream; for an unknown length a counter."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.1f} s{task.fields[sent]}"),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the terminal may be closed
            self._progress.stop()

    def started(self, item: InputStream) -> None:
        self._bars[item.stream_id] = self._progress.add_task(
            item.stream_id, total=item.source.seconds, sent=""
        )

    def advanced(self, item: InputStream, seconds: float) -> None:
        self._progress.update(self._bars[item.stream_id], completed=seconds)

    def ended(self, item: InputStream, seconds: float, records: int) -> None:
        self._progress.update(
            self._bars[item.stream_id],
            completed=seconds,
            total=seconds,
            sent=f" in {records} records",
        )


class Lines(_ProblemsToStderr):
    """One line when a stream begins and one when it has ended."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def started(self, item: InputStream) -> None:
        self._print(f"{item.stream_id}: {item.source.name} to {self._topic}")

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None:
        self._print(f"{item.stream_id}: {seconds:.1f} s in {records} records")

    def _print(self, line: str) -> None:
        with suppress(OSError):  # publishing goes on without a reader of the progress
            sys.stdout.write(f"{encodable(printable(line), sys.stdout.encoding)}\n")
            sys.stdout.flush()
