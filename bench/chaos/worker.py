"""`python -m bench.chaos.worker`: the product's worker, with an engine and a heart of the bench's.

Settings come from the environment, as `streamscribe worker` reads them. All that differs is wrapped
around the product here: the oracle in place of Whisper, and a control socket.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import consumer.__main__
from bench.chaos import broken, commit_points
from bench.chaos.broken import Mistake
from bench.chaos.commit_points import Trap
from bench.chaos.control import Control
from bench.chaos.oracle import Mood, Oracle
from consumer import service
from consumer.engine.local import Transcriber
from consumer.settings import Settings

SLOW = 5.0
Load = Callable[[Settings], Transcriber]


def main(argv: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(argv)
    mood, trap = Mood(), Trap()
    commit_points.install(trap)
    if asked.broken is not None:
        broken.install(asked.broken, trap)
        mood.slowness = SLOW  # as slow as a model, so that there is something to lose
    load = service.load_transcriber if asked.engine == "whisper" else lambda _: Oracle(mood)
    controlled = partial(_serve, service.serve, load, Control(asked.control, mood, trap))
    setattr(service, "serve", controlled)  # noqa: B010 - what the product's main will call
    return consumer.__main__.main([])


async def _serve(
    serve: Callable[..., object],
    load: Load,
    control: Control,
    settings: Settings,
    stop: asyncio.Event,
    ready: asyncio.Event,
) -> None:
    async with control:
        await serve(settings, stop, ready, load=load)  # type: ignore[misc]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos.worker", description=__doc__)
    parser.add_argument("--control", type=Path, required=True, help="Unix socket for orders")
    parser.add_argument("--engine", choices=("oracle", "whisper"), default="oracle")
    parser.add_argument("--broken", type=Mistake, help="a mistake to make: a bench's, to be caught")
    return parser


if __name__ == "__main__":
    sys.exit(main())
