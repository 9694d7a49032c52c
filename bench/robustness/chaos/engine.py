"""`python -m bench.robustness.chaos.engine`: the product's engine process, with an oracle in it.

Settings come from the environment, as `streamscribe engine` reads them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import consumer.engine_main
from bench.robustness.chaos.oracle import Oracle
from bench.robustness.chaos.worker_control import WorkerControl
from consumer.engine_service import serve_engine


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.robustness.chaos.engine", description=__doc__
    )
    parser.add_argument("--control", type=Path, required=True, help="file of a `WorkerControl`")
    parser.add_argument("--engine", choices=("oracle", "whisper"), default="oracle")
    arguments = parser.parse_args(argv)
    if arguments.engine == "whisper":
        return consumer.engine_main.main([])
    control = WorkerControl.open(arguments.control)
    serve = partial(serve_engine, load=lambda _: Oracle(control))
    return consumer.engine_main.main([], serve)


if __name__ == "__main__":
    sys.exit(main())
