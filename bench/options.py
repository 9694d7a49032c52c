"""Flags that the benches share. What a long run would stumble over is checked before it starts."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from consumer.errors import ConfigError
from evaluation.samples import SAMPLES
from transport.arguments import positive
from weights.errors import WeightsError
from weights.resolve import Resolved, resolve_here

T = TypeVar("T")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with `--json`, `--dtype` and `--threads`."""
    made = argparse.ArgumentParser(
        prog=f"python -m bench {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", type=writable, metavar="FILE", help="write figures and checks here")
    made.add_argument(
        "--threads", type=positive, metavar="N", help="of one product (default: all usable cores)"
    )
    return made


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


def add_model(parser: argparse.ArgumentParser, default: str | None = "base") -> None:
    told = f" (default: {default})" if default else ""
    parser.add_argument(
        "--model", default=default, metavar="NAME|PATH", help=f"weights by name or path{told}"
    )


def weights(name_or_path: str, console: Console) -> Resolved:
    """Resolve weights as the worker does. Raises `ConfigError`."""
    try:
        return resolve_here(name_or_path, os.environ, console)
    except WeightsError as error:
        raise ConfigError(str(error)) from error


def listed(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """Values of one kind with commas between them."""
    return lambda text: tuple(kind(part.strip()) for part in text.split(","))


def one_of(*choices: str) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return checked


def above_zero(text: str) -> float:
    """Seconds, minutes."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def data_folder(text: str) -> Path:
    folder = Path(text).expanduser()
    if not (folder / "manifest.jsonl").is_file():
        raise argparse.ArgumentTypeError(f"{text}: there is no manifest.jsonl in it")
    return folder


def writable(text: str) -> Path:
    file = Path(text).expanduser()
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text}: there is no folder {file.parent}")
    return file


def add_rounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rounds", type=positive, default=3, metavar="N", help="of which medians are (default: 3)"
    )


def add_clips(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clips", type=positive, metavar="N", help="of a language, evenly taken (default: all)"
    )
