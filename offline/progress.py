"""Progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from transport.console import count, printable


class Failure(NamedTuple):
    """An input that is not done, or is incomplete."""

    name: str
    reason: str


class FileReporter(Protocol):
    """Receives the progress; seconds are of audio."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def found(self, seconds: float | None) -> None:
        """Note that an input can be read; None: its length is unknown."""

    def advanced(self, name: str, seconds: float, of: float | None) -> None: ...

    def done(self, name: str, seconds: float, outputs: Sequence[str]) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def warned(self, name: str, warning: str) -> None: ...


class PlainLines:
    """A line for each input that is done or has failed."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def found(self, seconds: float | None) -> None: ...

    def advanced(self, name: str, seconds: float, of: float | None) -> None: ...

    def done(self, name: str, seconds: float, outputs: Sequence[str]) -> None:
        written = f" in {', '.join(outputs)}" if outputs else ""
        self._print(f"{name}: {seconds:.1f} s{written}")

    def failed(self, failure: Failure) -> None:
        self._print(f"{failure.name}: failed: {failure.reason}")

    def warned(self, name: str, warning: str) -> None:
        self._print(f"{name}: warning: {warning}")

    def _print(self, line: str) -> None:
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class FileBars(PlainLines):
    """Below the lines, a bar for all inputs with the time that is left, and one for each."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _AudioColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._all = self._progress.add_task("all", total=0.0)
        self._total_s = 0.0
        self._bars: dict[str, TaskID] = {}  # of inputs that are being transcribed
        self._seconds: dict[str, float] = {}  # likewise

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def shown(self) -> list[tuple[str, float, float | None]]:
        """The bars: name, seconds, and seconds at the end."""
        return [(bar.description, bar.completed, bar.total) for bar in self._progress.tasks]

    def found(self, seconds: float | None) -> None:
        self._total_s += seconds or 0.0
        self._progress.update(self._all, total=self._total_s)

    def advanced(self, name: str, seconds: float, of: float | None) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(printable(name), total=of)
        self._progress.update(self._bars[name], completed=seconds)
        self._progress.advance(self._all, seconds - self._seconds.get(name, 0.0))
        self._seconds[name] = seconds

    def done(self, name: str, seconds: float, outputs: Sequence[str]) -> None:
        self.advanced(name, seconds, seconds)
        self._end(name)
        super().done(name, seconds, outputs)

    def failed(self, failure: Failure) -> None:
        self._end(failure.name)
        super().failed(failure)

    def _end(self, name: str) -> None:
        self._seconds.pop(name, None)
        if (bar := self._bars.pop(name, None)) is not None:
            self._progress.remove_task(bar)


class _AudioColumn(ProgressColumn):
    """Transcribed and total length, and how many times as fast as speech."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f" / {_clock(task.total)}"
        speed = "" if not task.speed else f"  {task.speed:.1f}x"
        return Text(f"{_clock(task.completed)}{total}{speed}")


def new_reporter(console: Console) -> FileReporter:
    return FileBars(console) if console.is_terminal else PlainLines(console)


def print_summary(console: Console, done: int, skipped: int, failures: Sequence[Failure]) -> None:
    """Print how many inputs are done, and a table of the others."""
    parts = [f"{count(done, 'file')} done"]
    parts += [f"{skipped} skipped, done before"] if skipped else []
    parts += [f"{len(failures)} failed or incomplete"] if failures else []
    console.print(", ".join(parts), highlight=False)
    if failures:
        table = Table("file", "problem", box=None, pad_edge=False)
        for failure in failures:
            table.add_row(Text(printable(failure.name)), Text(printable(failure.reason)))
        console.print(table)


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{second:02}"
