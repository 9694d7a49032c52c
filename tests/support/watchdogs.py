"""The running child processes of a process that was started with devstack's watchdog."""

from __future__ import annotations

from pathlib import Path


def watched(pid: int, what: str = "") -> list[str]:
    """Return the command lines with `what` of the watchdogs of processes that `pid` started."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_text("utf-8", "replace").replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue  # the process has ended
    return [line for line in lines if f"parent_watchdog.py {pid} " in line and what in line]
