"""`python -m bench.robustness.fuzz.fuzz_process TARGET SEED SECONDS INPUTS HANG_S CELL`.

Feeds one parser, in a process of its own, because native code may end it; so does a signal where
one input takes too long. CELL is a file with the number of inputs (8 bytes) and the one that is
tried now. Prints one JSON object when it ends by itself.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import BinaryIO, Final

import structlog

from bench.engine.memory import resident
from bench.robustness.fuzz.mutation import mutated
from bench.robustness.fuzz.targets import TARGETS
from schemas.audio import MAX_RECORD_BYTES

_MAX_MEMORY_BYTES: Final = 512 << 20  # above what the process holds before the first input
_STALL_S: Final = 120.0  # for one input: it waits for something that does not come


def feed(
    name: str, seed: int, seconds: float, inputs: int, hang_s: float, cell: BinaryIO
) -> dict[str, object]:
    """Feed a target until time or inputs are used up, or it raises; return what came of it."""
    target = TARGETS[name]
    rng, corpus = Random(seed), target.corpus()
    _limit_time(_STALL_S)
    for data in corpus:
        target.run(data)  # valid inputs warm it up
    before_mb = resident().now_mb
    _limit_memory()
    deadline = time.monotonic() + seconds
    error, count = None, 0
    while error is None and count < inputs and time.monotonic() < deadline:
        data = mutated(rng, corpus, MAX_RECORD_BYTES)
        count += 1
        _keep(cell, count, data)
        _limit_time(hang_s)
        try:
            target.run(data)
        except Exception as raised:  # noqa: BLE001 - any error is a finding
            error = f"{type(raised).__name__}: {raised}"
    return {"grown_mb": resident().peak_mb - before_mb, "error": error}


def _keep(cell: BinaryIO, count: int, data: bytes) -> None:
    cell.seek(0)
    cell.write(count.to_bytes(8) + data)
    cell.truncate()


def _limit_time(processor_s: float) -> None:
    """Let SIGPROF end this process after so much processor time, or SIGALRM after a stall."""
    signal.setitimer(signal.ITIMER_PROF, processor_s)
    signal.setitimer(signal.ITIMER_REAL, _STALL_S)


def _limit_memory() -> None:
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    limit = held + _MAX_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(argv: Sequence[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    name, seed, seconds, inputs, hang_s, path = argv
    with Path(path).open("r+b", buffering=0) as cell:
        print(json.dumps(feed(name, int(seed), float(seconds), int(inputs), float(hang_s), cell)))


if __name__ == "__main__":
    main(sys.argv[1:])
