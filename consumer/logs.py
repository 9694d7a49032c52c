"""Structured logs on stderr: JSON for machines, a readable line on a terminal.

Transcripts and secrets are never logged. Messages may quote what a publisher sent, so every value
is truncated, and on a terminal it cannot break the line or move the cursor.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict

from consumer.settings import LogFormat

# Lowest levels of verbose libraries; aiokafka prints payloads and passwords at DEBUG.
QUIET = {"aiokafka": logging.WARNING, "asyncio": logging.WARNING, "numba": logging.WARNING}
LONGEST = 4_000  # characters of a value


def configure(form: LogFormat, level: str, stream: TextIO = sys.stderr) -> None:
    """Configure structlog, and route the records of the standard library's loggers through it."""
    console = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _truncate,
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
        # Rich tracebacks show the values of locals, texts and secrets too, and take a second each.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
        return [_escape, renderer]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def _truncate(_: object, __: str, event: EventDict) -> EventDict:
    """Truncate the values of an event, except `exc_info`: tracebacks are complete."""
    return {n: value if n == "exc_info" else _truncated(value) for n, value in event.items()}


def _truncated(value: Any) -> Any:
    if isinstance(value, (str, bytes)):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]!r}... ({len(value)} in all)"
    if isinstance(value, (list, tuple, dict)) and len(text := repr(value)) > LONGEST:
        return f"{text[:LONGEST]}..."
    return value


def _escape(_: object, __: str, event: EventDict) -> EventDict:
    return {name: _printable(v) if isinstance(v, str) else v for name, v in event.items()}


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
