"""`python -m bench.robustness.chaos.worker`: the product's worker, with an oracle for a model.

Settings come from the environment, as `streamscribe worker` reads them.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import consumer.__main__
from bench.robustness.chaos import commit_traps
from bench.robustness.chaos.commit_traps import CommitTrap
from bench.robustness.chaos.oracle import Oracle
from bench.robustness.chaos.planted_bugs import PlantedBug, with_bug
from bench.robustness.chaos.worker_control import WorkerControl, block_on_request
from consumer.service import Factories, serve
from consumer.settings import Settings

_SLOW: Final = 5.0  # as slow as a model, so that a worker with a bug has something to lose


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    control = WorkerControl.open(arguments.control) if arguments.control else WorkerControl.idle()
    trap, factories = CommitTrap(control), Factories()
    commit_traps.install(trap)
    if arguments.engine == "oracle":
        factories = Factories(transcriber=lambda _: Oracle(control.mode))
    if arguments.planted_bug is not None:
        factories = with_bug(factories, arguments.planted_bug, trap)
        control.mode.slowness = _SLOW
    return consumer.__main__.main([], partial(_serve, control, factories))


async def _serve(
    control: WorkerControl,
    factories: Factories,
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    async with asyncio.TaskGroup() as group:
        blocking = group.create_task(block_on_request(control))
        await serve(settings, stop, ready, factories)
        blocking.cancel()


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
