"""`python -m bench.robustness.chaos.worker`: the product's worker, with an oracle for a model.

Settings come from the environment, as `streamscribe worker` reads them. SIGUSR1 blocks its event
loop for BLOCK_S.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import consumer.__main__
from bench.robustness.abuse.hostile_records import is_faulty
from bench.robustness.chaos import commit_traps
from bench.robustness.chaos.oracle import Oracle
from bench.robustness.chaos.planted_bugs import PlantedBug, with_bug
from bench.robustness.chaos.worker_control import WorkerControl
from bench.robustness.stage_faults import FaultStage, raising
from consumer.service import Factories, serve

BLOCK_S: Final = 15.0
_SLOW: Final = 5.0  # as slow as a model, so that a worker with a bug has something to lose


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    control = WorkerControl.open(arguments.control) if arguments.control else WorkerControl()
    trap, bug, factories = partial(commit_traps.die, control), arguments.planted_bug, Factories()
    commit_traps.install(trap, answered=bug is not PlantedBug.PUBLISH_FIRST)
    signal.signal(signal.SIGUSR1, lambda *_: time.sleep(BLOCK_S))
    if arguments.engine == "oracle":
        factories = Factories(transcriber=lambda _: Oracle(control))
    if bug is not None:
        factories = with_bug(factories, bug, trap)
        control.slowness = _SLOW
    with ExitStack() as stack:
        for stage in FaultStage:
            stack.enter_context(raising(stage, partial(is_faulty, stage)))
        return consumer.__main__.main([], partial(serve, factories=factories))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.robustness.chaos.worker", description=__doc__
    )
    parser.add_argument("--control", type=Path, help="file of a `WorkerControl` (default: none)")
    parser.add_argument("--engine", choices=("oracle", "whisper"), default="oracle")
    parser.add_argument("--planted-bug", type=PlantedBug, help="a bug that the bench has to catch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
