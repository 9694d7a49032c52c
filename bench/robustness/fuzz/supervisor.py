"""One fuzzing process, supervised: what it finds, whether it returns or ends by it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_HANG_S: Final = 10.0  # processor time of one input, far more than any takes
_MAX_GROWN_MB: Final = 256.0  # a minute of 48 kHz stereo, in every form that it passes through
_SHOWN_CHARACTERS: Final = 2_000
_TOO_LONG: Final = (signal.SIGPROF, signal.SIGALRM)


class FindingKind(StrEnum):
    CRASH = "crash"  # a signal ended the process
    HANG = "hang"
    MEMORY = "memory"
    WRONG = "wrong"  # an exception that the parser may not raise


@dataclass(frozen=True, slots=True)
class FuzzFinding:
    """Something that a parser may not do."""

    kind: FindingKind
    details: str
    data: bytes  # the input; of MEMORY the newest one, as the peak may be of any


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """The result of one process."""

    inputs: int
    grown_mb: float | None  # peak memory above that of valid inputs; None: not known
    finding: FuzzFinding | None


def fuzz(
    target: str,
    *,
    seed: int,
    seconds: float,
    inputs: int = sys.maxsize,
    module: str = "bench.robustness.fuzz.fuzz_process",
    hang_s: float = _HANG_S,
) -> FuzzResult:
    """Feed one target in a process until time or inputs are used up, or it breaks."""
    arguments = (target, seed, seconds, inputs, hang_s)
    with TemporaryDirectory(prefix="streamscribe-fuzz-") as folder:
        cell, errors = Path(folder) / "cell", Path(folder) / "stderr"
        cell.write_bytes(bytes(8))
        command = [sys.executable, "-m", module, *map(str, arguments), str(cell)]
        with errors.open("wb") as stderr:  # no pipe: mpg123 prints much
            done = subprocess.run(  # noqa: S603 - ours
                command, stdout=subprocess.PIPE, stderr=stderr, check=False
            )
        if done.returncode > 0:
            raise RuntimeError(errors.read_text("utf-8", "replace")[-_SHOWN_CHARACTERS:])
        content = cell.read_bytes()
    count, data = int.from_bytes(content[:8]), content[8:]
    if done.returncode < 0:
        return FuzzResult(count, None, _ended_by(signal.Signals(-done.returncode), data))
    report = json.loads(done.stdout)
    grown_mb, error = report["grown_mb"], report["error"]
    return FuzzResult(count, grown_mb, _reported(error, grown_mb, data))


def _ended_by(number: signal.Signals, data: bytes) -> FuzzFinding:
    if number in _TOO_LONG:
        return FuzzFinding(FindingKind.HANG, "did not return", data)
    return FuzzFinding(FindingKind.CRASH, number.name, data)


def _reported(error: str | None, grown_mb: float, data: bytes) -> FuzzFinding | None:
    if error is not None:
        memory = error.startswith("MemoryError")
        return FuzzFinding(FindingKind.MEMORY if memory else FindingKind.WRONG, error, data)
    if grown_mb > _MAX_GROWN_MB:
        return FuzzFinding(FindingKind.MEMORY, f"{grown_mb:.0f} MB more", data)
    return None
