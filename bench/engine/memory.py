"""Memory of a process, as Linux counts it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory, in megabytes of 10^6 bytes."""

    now_mb: float
    peak_mb: float  # since the process began; getrusage would count its parent's too


def resident(pid: int | None = None) -> Resident:
    """Return the resident memory of a process; None: of this one."""
    status = Path(f"/proc/{pid or 'self'}/status").read_text("ascii")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    now, peak = (int(fields[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return Resident(now, peak)
