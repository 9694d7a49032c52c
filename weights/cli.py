"""`streamscribe weights`: fetch weights ahead of time, list those that have a name."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from weights.catalogue import BY_NAME, KNOWN
from weights.download import say
from weights.errors import WeightsError
from weights.resolve import cache_folder, candidates, resolve, search_path

ROW: Final = "{:24}{:>6}  {:7}{}"


def main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    search, cache = search_path(os.environ), cache_folder(os.environ)
    if arguments.action == "fetch":
        return fetch(arguments.names, search, cache)
    sys.stdout.write(f"{listing((*search, cache))}\n")
    return 0


def fetch(names: Sequence[str], search: Sequence[Path], cache: Path) -> int:
    """Resolve each name and print `name path sha256`; all are tried, whatever fails."""
    console, code = Console(stderr=True), 0
    for name in names:
        try:
            found = resolve(name, search=search, cache=cache, console=console)
        except WeightsError as error:
            say(console, str(error))
            code = max(code, 1 if name in BY_NAME else 2)
        else:
            sys.stdout.write(f"{found.name}\t{found.path}\t{found.sha256}\n")
    return code


def listing(folders: Sequence[Path]) -> str:
    """Known names, how large they are and where on this machine they lie (content unchecked)."""
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
    parser = argparse.ArgumentParser(prog="streamscribe weights", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="fetch|list")
    fetching = actions.add_parser("fetch", help="make weights ready on this machine")
    fetching.add_argument("names", nargs="+", metavar="NAME", help="a name of the list, or a path")
    actions.add_parser("list", help="known names, and where they are here (the default)")
    return parser
