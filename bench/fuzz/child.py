"""`python -m bench.fuzz.child TARGET SEED SECONDS INPUTS CELL`: one parser, fed until it breaks.

A process of its own, for what is native may end it. CELL is a file that holds the input that is
tried now, so that whoever watches finds it there afterwards. Prints one JSON object when it ends
by itself.
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

from bench.fuzz.mutation import mutated
from bench.fuzz.targets import TARGETS
from bench.memory import resident
from schemas.audio import MAX_RECORD_BYTES

CELL_BYTES: Final = MAX_RECORD_BYTES + 16
_MOST_MEMORY_BYTES: Final = 512 << 20  # beyond what the process holds before the first input


class Cell:
    """A count of inputs, and the newest one: shared with whoever watches."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), CELL_BYTES)

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


def fed(name: str, seed: int, seconds: float, inputs: int, cell: Cell) -> dict[str, object]:
    """What came of it; `wrong`: what an input raised that it may not, which ends the run."""
    target = TARGETS[name]
    rng, corpus = Random(seed), target.corpus()
    for data in corpus:
        target.run(data)  # what is valid warms it up
    before_mb = resident().now_mb
    _limit_memory()
    deadline = time.monotonic() + seconds
    wrong = None
    count = 0
    while wrong is None and count < inputs and time.monotonic() < deadline:
        data = mutated(rng, corpus, MAX_RECORD_BYTES)
        count += 1
        cell.put(count, data)
        try:
            target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            wrong = f"{type(error).__name__}: {error}"
    return {"inputs": count, "grown_mb": resident().peak_mb - before_mb, "wrong": wrong}


def _limit_memory() -> None:
    held = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    limit = held + _MOST_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def run(arguments: Sequence[str]) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    name, seed, seconds, inputs, path = arguments
    print(json.dumps(fed(name, int(seed), float(seconds), int(inputs), Cell(Path(path)))))


if __name__ == "__main__":
    run(sys.argv[1:])
