"""`python -m bench.robustness.fuzz.fuzz_process TARGET SEED SECONDS INPUTS CELL`: feed one parser.

A process of its own, because native code may end it. CELL is a file that holds the input that is
tried now, which the supervisor finds there afterwards. Prints one JSON object when it ends by
itself.
"""

from __future__ import annotations

import json
import mmap
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import structlog

from bench.engine.memory import resident
from bench.robustness.fuzz.mutation import mutated
from bench.robustness.fuzz.targets import TARGETS
from schemas.audio import MAX_RECORD_BYTES

_MAX_MEMORY_BYTES: Final = 512 << 20  # above what the process holds before the first input


class InputCell:
    """The number of inputs and the newest one, shared with the supervisor."""

    BYTES: Final = MAX_RECORD_BYTES + 16

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), self.BYTES)

    def put(self, count: int, data: bytes) -> None:
        self._map[16 : 16 + len(data)] = data
        self._map[8:16] = len(data).to_bytes(8, "little")
        self._map[:8] = count.to_bytes(8, "little")

    @property
    def count(self) -> int:
        return int.from_bytes(self._map[:8], "little")

    @property
    def data(self) -> bytes:
        return self._map[16 : 16 + int.from_bytes(self._map[8:16], "little")]


def feed(name: str, seed: int, seconds: float, inputs: int, cell: InputCell) -> dict[str, object]:
    """Feed a target until time or inputs are used up, or it raises; return what came of it."""
    target = TARGETS[name]
    rng, corpus = Random(seed), target.corpus()
    for data in corpus:
        target.run(data)  # valid inputs warm it up
    before_mb = resident().now_mb
    _limit_memory()
    deadline = time.monotonic() + seconds
    error, count = None, 0
    while error is None and count < inputs and time.monotonic() < deadline:
        data = mutated(rng, corpus, MAX_RECORD_BYTES)
        count += 1
        cell.put(count, data)
        try:
            target.run(data)
        except Exception as raised:  # noqa: BLE001 - any error is a finding
            error = f"{type(raised).__name__}: {raised}"
    return {"inputs": count, "grown_mb": resident().peak_mb - before_mb, "error": error}


def _limit_memory() -> None:
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    limit = held + _MAX_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(argv: Sequence[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    name, seed, seconds, inputs, path = argv
    print(json.dumps(feed(name, int(seed), float(seconds), int(inputs), InputCell(Path(path)))))


if __name__ == "__main__":
    main(sys.argv[1:])
