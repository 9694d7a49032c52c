"""`streamscribe worker` (= `python -m consumer`): one member of the consumer group, or several.

Exit codes: those of `consumer.command`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from consumer import logs
from consumer.command import Serve, read_settings, report, run, settings_parser
from consumer.errors import ConfigError

_DESCRIPTION: Final = """\
Transcribe speech from Kafka: read both audio topics as one member of a consumer group, publish
finals. Add workers to the group for more throughput; SIGTERM drains and stops a worker. Every flag
can also be set in the environment, as STREAMSCRIBE_<NAME>."""


def main(argv: Sequence[str] | None = None, serve: Serve | None = None) -> int:
    """Run the worker and return the exit code; `serve` replaces `consumer.service.serve`."""
    parser = settings_parser("worker", _DESCRIPTION)
    try:
        settings = read_settings(parser, argv)
    except ConfigError as error:
        return report("worker", error, 2)
    logs.configure(settings.log_format, settings.log_level)
    if serve is not None:
        return run("worker", settings, lambda: serve)
    return run("worker", settings, _supervise if settings.ingest else _service)


def _service() -> Serve:
    from consumer.service import serve

    return serve


def _supervise() -> Serve:
    from consumer.supervisor import supervise

    return supervise


if __name__ == "__main__":
    sys.exit(main())
