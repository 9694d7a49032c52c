"""Feed every parser of foreign bytes with nearly valid inputs, in a supervised process.

A crash, a hang, memory without bound or an exception that it may not raise is a finding: a failed
check, and its input is kept in a folder. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
from pathlib import Path

import soundfile

from bench.framework import BenchContext, Findings, above_zero, one_of
from bench.robustness.fuzz.supervisor import FuzzFinding, FuzzResult, fuzz
from bench.robustness.fuzz.targets import TARGETS
from evaluation.report import Check, Figures


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        type=one_of(*TARGETS),
        metavar="TARGET",
        help=f"one of {', '.join(TARGETS)} (default: all)",
    )
    parser.add_argument(
        "--seconds", type=above_zero, default=600.0, help="of a native decoder (default: 600)"
    )
    parser.add_argument(
        "--pure-share",
        type=above_zero,
        default=0.2,
        metavar="SHARE",
        help="of that, for a parser written in Python (default: 0.2)",
    )
    parser.add_argument("--seed", type=int, default=1, help="(default: 1)")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("fuzz-findings"),
        metavar="DIR",
        help="where to keep inputs that break a parser (default: fuzz-findings)",
    )


def run(context: BenchContext) -> Findings:
    """Fuzz one target after the other; each is printed as soon as it is done."""
    args = context.arguments
    figures: Figures = {}
    checks = []
    for name in args.targets or TARGETS:
        seconds = args.seconds * (1 if TARGETS[name].native else args.pure_share)
        result = fuzz(name, seed=args.seed, seconds=seconds)
        context.print(_line(name, result, args.findings))
        figures |= {f"{name} inputs": result.inputs, f"{name} grown MB": result.grown_mb}
        checks.append(Check(f"{name} findings", int(result.finding is not None), 0))
    versions = {"python": platform.python_version(), "libsndfile": soundfile.__libsndfile_version__}
    return Findings(figures, checks, versions)


def _line(name: str, result: FuzzResult, folder: Path) -> str:
    grown = "" if result.grown_mb is None else f", {result.grown_mb:+.0f} MB"
    line = f"{name:12} {result.inputs:>9} inputs{grown}  "
    if (finding := result.finding) is None:
        return f"{line}nothing found"
    kept = _keep(name, finding, folder)
    return f"{line}{finding.kind}: {finding.details}; input kept in {kept}"


def _keep(name: str, finding: FuzzFinding, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}-{finding.kind}-{hashlib.sha256(finding.data).hexdigest()[:12]}"
    kept.write_bytes(finding.data)
    return kept
