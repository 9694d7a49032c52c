"""What a process holds, as Linux counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory, megabytes of 10^6 bytes."""

    now_mb: float
    peak_mb: float  # since the process began; getrusage would count its parent's too


def resident(pid: int | None = None) -> Resident:
    """None: of this process."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text("ascii")
    kilobytes = {
        name: int(value.split()[0])
        for name, _, value in (line.partition(":") for line in status.splitlines())
        if name in {"VmRSS", "VmHWM"}
    }
    return Resident(kilobytes["VmRSS"] * 1024 / 1e6, kilobytes["VmHWM"] * 1024 / 1e6)
