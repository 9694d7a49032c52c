"""Feed every parser of strangers' bytes with what is nearly right, and watch it.

Each target has a process of its own. A crash, a hang, memory without bound or an exception that it
may not raise is a finding: its input is kept in a folder. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from bench.fuzz.targets import TARGETS
from bench.fuzz.watch import Finding, Result, fuzz
from bench.options import above_zero, writable

_UNBOUNDED: Final = sys.maxsize


def main(argv: Sequence[str] | None = None) -> int:
    """1 when anything was found."""
    parser = _parser()
    options = parser.parse_args(argv)
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    results = {name: _fuzz(name, options) for name in options.targets or TARGETS}
    if options.json:
        options.json.write_bytes(orjson.dumps(_figures(results), option=orjson.OPT_INDENT_2))
    return int(any(result.finding for result in results.values()))


def _fuzz(name: str, options: argparse.Namespace) -> Result:
    seconds = options.seconds * (1 if TARGETS[name].native else options.pure_share)
    result = fuzz(name, seed=options.seed, seconds=seconds, inputs=_UNBOUNDED)
    grown = "" if result.grown_mb is None else f", {result.grown_mb:+.0f} MB"
    print(f"{name:12} {result.inputs:>9} inputs{grown}  {_told(name, result, options.findings)}")
    return result


def _told(name: str, result: Result, folder: Path) -> str:
    if (finding := result.finding) is None:
        return "nothing found"
    return f"{finding.kind}: {finding.told}; input kept in {_keep(name, finding, folder)}"


def _keep(name: str, finding: Finding, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}-{finding.kind}-{hashlib.sha256(finding.data).hexdigest()[:12]}"
    kept.write_bytes(finding.data)
    return kept


def _figures(results: dict[str, Result]) -> dict[str, Any]:
    return {
        name: {
            "inputs": result.inputs,
            "grown_mb": result.grown_mb,
            "finding": result.finding and f"{result.finding.kind}: {result.finding.told}",
        }
        for name, result in results.items()
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench fuzz",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)"
    )
    parser.add_argument(
        "--seconds", type=above_zero, default=600.0, help="a native decoder (default: 600)"
    )
    parser.add_argument(
        "--pure-share",
        type=above_zero,
        default=0.2,
        metavar="SHARE",
        help="of that for a parser written in Python (default: 0.2)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("fuzz-findings"),
        metavar="DIR",
        help="where to keep them",
    )
    parser.add_argument("--json", type=writable, metavar="FILE", help="write figures here")
    return parser
