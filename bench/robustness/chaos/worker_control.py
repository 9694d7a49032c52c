"""How a run makes a worker fail: a few values in a file that both processes map."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import time
from pathlib import Path
from typing import Final, NoReturn, Self

from bench.robustness.chaos.oracle import OracleMode

_POLL_S: Final = 0.1


class WorkerControl(ctypes.Structure):
    """What a run asks of one worker."""

    mode: OracleMode
    die_at: bytes  # the `CommitPoint` at which to be killed; empty: at none
    block_s: float  # how long to block the event loop, once
    _fields_ = (
        ("mode", OracleMode),
        ("die_at", ctypes.c_char * 16),
        ("block_s", ctypes.c_double),
    )

    @classmethod
    def idle(cls) -> Self:
        """Return one that asks nothing."""
        return cls(OracleMode())

    @classmethod
    def create(cls, path: Path) -> Self:
        """Write a file that asks nothing, and map it."""
        path.write_bytes(bytes(cls.idle()))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        with path.open("r+b") as file:
            return cls.from_buffer(mmap.mmap(file.fileno(), ctypes.sizeof(cls)))

    def reset(self) -> None:
        """Ask nothing any more."""
        self.mode, self.die_at, self.block_s = OracleMode(), b"", 0.0


async def block_on_request(control: WorkerControl) -> NoReturn:
    """Block the event loop of the worker whenever it is asked for."""
    while True:
        await asyncio.sleep(_POLL_S)
        seconds, control.block_s = control.block_s, 0.0
        time.sleep(seconds)  # noqa: ASYNC251 - to block is the point
