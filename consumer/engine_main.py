"""`streamscribe engine`: the model in a process of its own, for several workers of this machine.

Exit codes: those of `consumer.command`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from consumer import logs
from consumer.command import Serve, read_settings, report, run, settings_parser
from consumer.errors import ConfigError

# Those that concern the model, its batches and the process.
SETTINGS: Final = frozenset(
    {
        *("engine", "model", "device", "dtype", "threads", "fold", "fold_audit_share"),
        *("batch_rows", "batch_positions", "engine_timeout_s"),
        *("http_host", "http_port", "log_format", "log_level"),
    }
)
_DESCRIPTION: Final = """\
Hold the model in a process of its own, one per GPU: workers that are started with --engine PATH
submit their utterances, and those of all workers are decoded in common batches. Every flag can also
be set in the environment, as STREAMSCRIBE_<NAME>; --socket as STREAMSCRIBE_ENGINE."""


def main(argv: Sequence[str] | None = None, serve: Serve | None = None) -> int:
    """Run the engine and return the exit code; `serve` replaces `engine_service.serve_engine`."""
    parser = settings_parser("engine", _DESCRIPTION, names=SETTINGS, renamed={"engine": "socket"})
    try:
        settings = read_settings(parser, argv)
    except ConfigError as error:
        return report("engine", error, 2)
    if not settings.engine:
        return report("engine", ConfigError("name the socket to listen at: --socket PATH"), 2)
    logs.configure(settings.log_format, settings.log_level)
    return run("engine", settings, _service if serve is None else lambda: serve)


def _service() -> Serve:
    from consumer.engine_service import serve_engine

    return serve_engine


if __name__ == "__main__":
    sys.exit(main())
