"""How a run makes a worker fail: a few values in a file that both processes map."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path
from typing import Self

from bench.robustness.chaos.oracle import OracleMode


class WorkerControl(OracleMode):
    """What a run asks of one worker, beside how its engine behaves."""

    die_at: bytes  # the `CommitPoint` at which to be killed; empty: at none
    _fields_ = (("die_at", ctypes.c_char * 16),)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Write a file that asks nothing, and map it."""
        path.write_bytes(bytes(cls()))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        with path.open("r+b") as file:
            return cls.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(cls)))

    def reset(self) -> None:
        """Ask nothing any more."""
        self.slowness, self.hangs, self.max_rows = 1.0, False, 0
        self.die_at = b""
