"""One fuzzing process, watched: what it found, whether it returned or was ended by it."""

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

from bench.fuzz.child import CELL_BYTES, Cell

HANG_S: Final = 10.0  # of the processor for one input: a second is far more than any takes
MOST_GROWN_MB: Final = 256.0  # a minute of 48 kHz stereo, in every form that it passes through
_POLL_S: Final = 0.05
_SHOWN_CHARACTERS: Final = 2_000
_STALL_S: Final = 120.0  # without an end to anything: it waits for what does not come
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Kind(StrEnum):
    CRASH = "crash"  # the process was ended by a signal
    HANG = "hang"
    MEMORY = "memory"
    WRONG = "wrong"  # another exception than the parser may raise


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    told: str
    data: bytes  # the input; of MEMORY the newest, for the peak has no owner


@dataclass(frozen=True, slots=True)
class Result:
    """Of one process."""

    inputs: int
    grown_mb: float | None  # most memory beyond that of valid inputs; None: it did not say
    finding: Finding | None


def fuzz(
    target: str,
    *,
    seed: int,
    seconds: float,
    inputs: int,
    module: str = "bench.fuzz.child",
    hang_s: float = HANG_S,
) -> Result:
    """Feed one target until time or inputs are used up, or it breaks."""
    with TemporaryDirectory(prefix="streamscribe-fuzz-") as folder:
        path = Path(folder) / "cell"
        path.write_bytes(bytes(CELL_BYTES))
        cell = Cell(path)
        command = [sys.executable, "-m", module, target, str(seed), str(seconds), str(inputs)]
        said = Path(folder) / "stderr"  # no pipe: mpg123 prints more than one holds
        with said.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603 - ours
                [*command, str(path)], stdout=subprocess.PIPE, stderr=errors
            )
        hung = not _ends(process, cell, hang_s)
        if hung:
            process.kill()
        out, _ = process.communicate()
        if process.returncode > 0:
            raise RuntimeError(said.read_text("utf-8", "replace")[-_SHOWN_CHARACTERS:])
        return _result(process.returncode, out, cell, hung=hung)


def _ends(process: subprocess.Popen[bytes], cell: Cell, hang_s: float) -> bool:
    """False once one input has taken too much of the processor, or far too long."""
    seen, since, used = cell.count, time.monotonic(), 0.0
    while process.poll() is None:
        time.sleep(_POLL_S)
        if cell.count != seen:
            seen, since, used = cell.count, time.monotonic(), _cpu_s(process.pid)
        elif (seen and _cpu_s(process.pid) - used > hang_s) or time.monotonic() - since > _STALL_S:
            return False
    return True


def _cpu_s(pid: int) -> float:
    """Seconds of the processor that it has used; 0 where it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def _result(code: int, out: bytes, cell: Cell, *, hung: bool) -> Result:
    if hung:
        return Result(cell.count, None, Finding(Kind.HANG, "did not return", cell.data))
    if code < 0:
        name = signal.Signals(-code).name
        return Result(cell.count, None, Finding(Kind.CRASH, name, cell.data))
    told: dict[str, Any] = json.loads(out)
    return Result(told["inputs"], told["grown_mb"], _finding(told, cell))


def _finding(told: dict[str, Any], cell: Cell) -> Finding | None:
    if told["wrong"] is not None:
        kind = Kind.MEMORY if told["wrong"].startswith("MemoryError") else Kind.WRONG
        return Finding(kind, told["wrong"], cell.data)
    if told["grown_mb"] > MOST_GROWN_MB:
        return Finding(Kind.MEMORY, f"{told['grown_mb']:.0f} MB more", cell.data)
    return None
