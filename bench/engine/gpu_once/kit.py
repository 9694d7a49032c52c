"""Build what `gpu_once` carries to a bare GPU machine: wheels, and Whisper base in a few bits.

The machine has the source tree, Python, torch and what `--there` names; nothing is fetched there.
The folder's `run.sh` installs the wheels beside them and runs `gpu_once` from the tree.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from bench.checkpoints import requested_checkpoint
from bench.engine.gpu_once.packed_weights import pack
from bench.framework import BenchContext, Findings, add_model, list_of
from consumer.errors import ConfigError
from evaluation.report import Check, Figures

MAX_WEIGHTS_MB: Final = 50.0
WEIGHTS: Final = "base.npz"
_ROOT: Final = Path(__file__).parents[3]
_PROJECT: Final = "streamscribe"
_THERE: Final = "torch,triton,numpy,numba,llvmlite,tiktoken,filelock,hypothesis,pytest"
_PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
_SOURCE_ONLY: Final = ("openai-whisper",)  # its wheel is built here
_NEEDED: Final = (
    "import sys, pytest, soundfile, soxr, bench.engine.gpu_once.run; print(*sys.modules)"
)
_SCRIPT: Final = """\
#!/bin/sh
# From the root of the source tree: sh KIT/run.sh --json FILE
kit=$(dirname "$0")
python3 -m pip install -q --no-index --no-deps --no-compile --target "$kit/site" "$kit"/*.whl
PYTHONPATH="$PWD:$kit/site" exec python3 -m bench gpu_once --weights "$kit/{weights}" "$@"
"""


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    out: Path = asked.out
    out.mkdir(parents=True, exist_ok=True)
    names = needed(imported_modules(), packages_distributions(), asked.there)
    with context.progress(2) as advance:
        fetch(lock_lines((_ROOT / "locks/dev.txt").read_text("utf-8"), names), asked.python, out)
        advance(1, "wheels")
        pack(requested_checkpoint(context)[1], out / WEIGHTS)
        advance(1, "weights")
    (out / "run.sh").write_text(_SCRIPT.format(weights=WEIGHTS), "utf-8")
    wheels = [*out.glob("*.whl")]
    weights_mb = (out / WEIGHTS).stat().st_size / 1e6
    figures: Figures = {
        "wheels": len(wheels),
        "wheels_mb": sum(wheel.stat().st_size for wheel in wheels) / 1e6,
        "weights_mb": weights_mb,
    }
    checks = [Check("weights, MB", weights_mb, MAX_WEIGHTS_MB)]
    return Findings(figures, checks, measured_on={"python": asked.python, "carried": names})


def imported_modules() -> set[str]:
    """Return the top-level modules that the stages and their tests import."""
    command = [sys.executable, "-W", "ignore", "-c", _NEEDED]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)  # noqa: S603 -- this interpreter
    return {name.partition(".")[0] for name in done.stdout.split()}


def needed(
    modules: set[str], distributions: Mapping[str, list[str]], there: Sequence[str]
) -> list[str]:
    """Return the packages of these modules that the machine lacks."""
    found = {_canonical(name) for module in modules for name in distributions.get(module, ())}
    gpu = {name for name in found if re.match(r"torch|triton|nvidia-|cuda-", name)}
    return sorted(found - gpu - {_canonical(name) for name in there} - {_PROJECT})


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_lines(lock: str, names: Sequence[str]) -> dict[str, str]:
    """Return the pinned requirement of each package with its hashes.

    Raises `ConfigError` for one that is not locked.
    """
    blocks = re.split(r"^(?=[a-z])", lock, flags=re.MULTILINE)
    pinned = {re.split(r"[\\[=]", block)[0]: block for block in blocks if "==" in block}
    if lacking := sorted(set(names) - pinned.keys()):
        raise ConfigError(f"not in the lock: {', '.join(lacking)}; name them with --there")
    return {name: pinned[name] for name in names}


def fetch(requirements: dict[str, str], python: str, out: Path) -> None:
    """Fetch or build the wheels, checked against their hashes."""
    built = [text for name, text in requirements.items() if name in _SOURCE_ONLY]
    fetched = [text for name, text in requirements.items() if name not in _SOURCE_ONLY]
    platforms = [f"--platform={each}" for each in _PLATFORMS]
    target = ["--only-binary=:all:", f"--python-version={python}", *platforms]
    _pip(["download", *target, f"--dest={out}"], fetched, out)
    _pip(["wheel", f"--wheel-dir={out}"], built, out)


def _pip(command: Sequence[str], requirements: Sequence[str], out: Path) -> None:
    file = out / "requirements.txt"
    file.write_text("".join(requirements), "utf-8")
    pip = [sys.executable, "-m", "pip", *command, "--quiet", "--no-deps", "--require-hashes"]
    done = subprocess.run([*pip, "-r", str(file)], capture_output=True, text=True, check=False)  # noqa: S603 -- as above
    file.unlink()
    if done.returncode:
        raise ConfigError(f"pip {command[0]}: {done.stderr.strip().splitlines()[-1]}")


def arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--python", default="3.12", metavar="X.Y", help="of the machine (default: 3.12)"
    )
    parser.add_argument(
        "--there",
        type=list_of(str),
        default=_THERE.split(","),
        metavar="NAMES",
        help=f"packages that the machine has beside torch and CUDA (default: {_THERE})",
    )
