"""One fuzzing process, supervised: what it finds, whether it returns or ends by it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.robustness.fuzz.fuzz_process import InputCell

_HANG_S: Final = 10.0  # processor time of one input, far more than any takes
_MAX_GROWN_MB: Final = 256.0  # a minute of 48 kHz stereo, in every form that it passes through
_POLL_S: Final = 0.05
_SHOWN_CHARACTERS: Final = 2_000
_STALL_S: Final = 120.0  # without processor time: it waits for something that does not come
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


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
    with TemporaryDirectory(prefix="streamscribe-fuzz-") as folder:
        path, errors = Path(folder) / "cell", Path(folder) / "stderr"
        path.write_bytes(bytes(InputCell.BYTES))
        cell = InputCell(path)
        command = [sys.executable, "-m", module, target, str(seed), str(seconds), str(inputs)]
        with errors.open("wb") as stderr:  # no pipe: mpg123 prints more than one holds
            process = subprocess.Popen(  # noqa: S603 - ours
                [*command, str(path)], stdout=subprocess.PIPE, stderr=stderr
            )
        if not _ends(process, cell, hang_s):
            process.kill()
            process.communicate()
            finding = FuzzFinding(FindingKind.HANG, "did not return", cell.data)
            return FuzzResult(cell.count, None, finding)
        out, _ = process.communicate()
        if process.returncode > 0:
            raise RuntimeError(errors.read_text("utf-8", "replace")[-_SHOWN_CHARACTERS:])
        return _result(process.returncode, out, cell)


def _ends(process: subprocess.Popen[bytes], cell: InputCell, hang_s: float) -> bool:
    """Wait for the end; return False once one input has taken too long."""
    count, since, used_s = cell.count, time.monotonic(), 0.0
    while process.poll() is None:
        time.sleep(_POLL_S)
        if cell.count != count:
            count, since, used_s = cell.count, time.monotonic(), _cpu_s(process.pid)
        hangs = count > 0 and _cpu_s(process.pid) - used_s > hang_s
        if hangs or time.monotonic() - since > _STALL_S:
            return False
    return True


def _cpu_s(pid: int) -> float:
    """Return the processor time of a process, or 0 where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def _result(code: int, out: bytes, cell: InputCell) -> FuzzResult:
    if code < 0:
        crash = FuzzFinding(FindingKind.CRASH, signal.Signals(-code).name, cell.data)
        return FuzzResult(cell.count, None, crash)
    report: dict[str, Any] = json.loads(out)
    grown_mb, error = report["grown_mb"], report["error"]
    kind, details = None, error
    if error is not None:
        kind = FindingKind.MEMORY if error.startswith("MemoryError") else FindingKind.WRONG
    elif grown_mb > _MAX_GROWN_MB:
        kind, details = FindingKind.MEMORY, f"{grown_mb:.0f} MB more"
    finding = None if kind is None else FuzzFinding(kind, details, cell.data)
    return FuzzResult(report["inputs"], grown_mb, finding)
