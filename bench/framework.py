"""The frame of every bench: its flags, its run, and its findings, printed and written as JSON.

A bench is a module with `arguments(parser)` and `run(context) -> Findings`; its docstring is the
description that `--help` prints. `measure` does the rest, and is the only place that does.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar, cast

from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, TimeRemainingColumn

from consumer.errors import ConfigError, SttError
from consumer.process_tuning import limit_spinning, retain_memory
from devstack.errors import DevstackError
from evaluation.report import Check, Figures, figure_tables, publish
from evaluation.samples import SAMPLES
from producer.errors import PublishError
from transport.arguments import positive
from transport.errors import first_error
from weights.errors import WeightsError

T = TypeVar("T")
Advance: TypeAlias = Callable[[float, str], None]  # how much was done, and what comes next

USAGE: Final = 2
_WRONG_USE: Final = (ConfigError, WeightsError)  # something else has to be asked for
_FAILURES: Final = (SttError, DevstackError, PublishError)
LINE_EVERY_S: Final = 20.0  # between two lines of progress where there is no terminal


@dataclass(frozen=True, slots=True)
class Findings:
    """What a bench has measured."""

    figures: Figures
    checks: Sequence[Check]
    measured_on: Mapping[str, Any]  # what the figures depend on beside the code
    tables: Sequence[RenderableType] = ()  # of more than the figures
    notes: Sequence[str] = ()  # lines, printed after the tables


@dataclass(frozen=True, slots=True)
class BenchContext:
    """One call of a bench: what was asked for, and where progress is shown."""

    arguments: argparse.Namespace
    console: Console = field(default_factory=Console)

    def print(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def progress(self, total: float) -> Iterator[Advance]:
        """Show how much of `total` is done: a bar on a terminal, else a line now and then."""
        if not self.console.is_terminal:
            yield _ProgressLines(self, total).advance
            return
        columns = (SpinnerColumn(), *Progress.get_default_columns()[:-1], TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda amount, what: bar.update(task, advance=amount, description=what)


class Bench(Protocol):
    """The module of a bench."""

    __doc__: str | None

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the flags of this bench."""

    def run(self, context: BenchContext) -> Findings:
        """Measure.

        Raises `ConfigError` or `WeightsError` where something else has to be asked for, and
        `SttError`, `DevstackError` or `PublishError` where it cannot be measured.
        """


def measure(name: str, module: str, argv: Sequence[str]) -> int:
    """Run a bench, print and write its findings; return the exit code."""
    limit_spinning(os.environ)  # as the worker does
    retain_memory(os.environ)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers are stopped on purpose
    bench = cast("Bench", importlib.import_module(module))
    context = BenchContext(_parser(name, bench).parse_args(argv))
    try:
        findings = bench.run(context)
    except Exception as raised:
        error = first_error(raised)
        if not isinstance(error, _WRONG_USE + _FAILURES):
            raise
        sys.stderr.write(f"bench: {error}\n")
        return USAGE if isinstance(error, _WRONG_USE) else 1
    for shown in (*figure_tables(findings.figures), *findings.tables):
        context.console.print(shown)
    for line in findings.notes:
        context.print(line)
    asked = context.arguments.json
    publish(context.console, asked, findings.measured_on, findings.figures, findings.checks)
    return 0


def machine(dtype: str, threads: int, **more: Any) -> dict[str, Any]:
    """Return what figures depend on beside the code: processor, cores, versions, dtype."""
    import torch  # late, so that --help is quick

    from consumer.inference.device import inspect, usable_cores

    found = inspect()
    return {
        "processor": found.cpu,
        "bf16": found.cpu_bf16,
        "cores": usable_cores(),
        "gpu": found.gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "dtype": dtype,
        "threads": threads,
        **more,
    }


class _ProgressLines:
    def __init__(self, context: BenchContext, total: float) -> None:
        self._context = context
        self._total = total
        self._done = 0.0
        self._printed_at = time.monotonic()

    def advance(self, amount: float, what: str) -> None:
        self._done += amount
        if time.monotonic() - self._printed_at >= LINE_EVERY_S:
            self._printed_at = time.monotonic()
            self._context.print(f"{self._done / self._total:4.0%}  {what}")


# --- flags that several benches share


def _parser(name: str, bench: Bench) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m bench {name}",
        description=bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", type=writable, metavar="FILE", help="write figures and checks here"
    )
    bench.arguments(parser)
    return parser


def add_numbers(
    parser: argparse.ArgumentParser, *numbers: tuple[str, Callable[[str], Any], Any, str]
) -> None:
    """Add flags of numbers: (name, type, default, help)."""
    for name, kind, default, text in numbers:
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar="N",
            help=f"{text} (default: {default})".strip(),
        )


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="of one product (default: all usable cores)"
    )


def add_dtype(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "bf16", "fp32", "fp16", "int8"),
        help="of this engine (default: auto, the best of the machine)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=data_folder,
        default=SAMPLES,
        metavar="DIR",
        help="clips and manifest.jsonl: file, text, lang, seconds (default: samples/)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="base",
        metavar="NAME|PATH",
        help="weights by name or path (default: base)",
    )


def add_decoding(parser: argparse.ArgumentParser) -> None:
    """Add the flags of a bench that decodes clips."""
    add_threads(parser)
    add_dtype(parser)
    add_data(parser)
    add_model(parser)


def add_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips", type=positive, metavar="N", help="of a language, evenly taken (default: all)"
    )


def list_of(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Return the type of a flag: values of one kind, with commas between them."""
    return lambda text: tuple(kind(part.strip()) for part in text.split(","))


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the type of a flag: one of the choices."""

    def checked(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return checked


def above_zero(text: str) -> float:
    """Parse a number above 0, of seconds or minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def data_folder(text: str) -> Path:
    """Parse a folder of clips."""
    folder = Path(text).expanduser()
    if not (folder / "manifest.jsonl").is_file():
        raise argparse.ArgumentTypeError(f"{text}: there is no manifest.jsonl in it")
    return folder


def writable(text: str) -> Path:
    """Parse a file to be written."""
    file = Path(text).expanduser()
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {file.parent}")
    return file
