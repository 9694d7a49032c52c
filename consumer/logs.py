"""Structured logs on stderr: JSON for machines, a readable line on a terminal.

Text of transcripts and secrets never come here.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog

from consumer.settings import LogFormat

# Loggers of libraries that say too much, or (aiokafka at DEBUG) print payloads and passwords.
QUIET = {"aiokafka": logging.WARNING, "asyncio": logging.WARNING, "numba": logging.WARNING}


def configure(form: LogFormat, level: str, stream: TextIO = sys.stderr) -> None:
    """Set up structlog, and route the standard library's records through it."""
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(console=console, colors=console and stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))


def _renderers(*, console: bool, colors: bool) -> list[structlog.typing.Processor]:
    if console:
        # Rich ones would show the values of locals: texts and secrets, and take a second each.
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
