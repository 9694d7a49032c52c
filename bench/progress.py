"""What a person sees of long work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeRemainingColumn

LINE_EVERY_S: Final = 20.0

Advance: TypeAlias = Callable[[float, str], None]  # how much was done, what comes next


@contextmanager
def progress(console: Console, total: float) -> Iterator[Advance]:
    """Shows how much of `total` is done."""
    if not console.is_terminal:
        yield _Lines(console, total).advance
        return
    columns = (SpinnerColumn(), *Progress.get_default_columns()[:-1], TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda amount, what: bar.update(task, advance=amount, description=what)


class _Lines:
    def __init__(self, console: Console, total: float) -> None:
        self._console = console
        self._total = total
        self._done = 0.0
        self._told_at = time.monotonic()

    def advance(self, amount: float, what: str) -> None:
        self._done += amount
        if time.monotonic() - self._told_at >= LINE_EVERY_S:
            self._told_at = time.monotonic()
            self._console.print(f"{self._done / self._total:4.0%}  {what}", highlight=False)
