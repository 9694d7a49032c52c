"""`streamscribe worker` (= `python -m consumer`): environment and flags -> Settings -> serve.

Exit codes: 0 drained after SIGTERM; 1 failed, start it again; 2 the settings or Kafka's topics are
wrong; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Protocol

import structlog

from consumer import logs
from consumer.errors import ConfigError, SttError
from consumer.process_tuning import limit_spinning, retain_memory
from consumer.settings import Settings, from_environment

log = structlog.get_logger("consumer")

_DESCRIPTION = """\
Transcribe speech from Kafka: read both audio topics as one member of a consumer group, publish
finals. Add workers to the group for more throughput; SIGTERM drains and stops a worker. Every flag
can also be set in the environment, as STREAMSCRIBE_<NAME>."""
_EPILOG = """\
exit codes: 0 drained after SIGTERM; 1 failed, start it again; 2 settings or topics are wrong;
130 stopped by Ctrl-C"""


class Serve(Protocol):
    """The signature of `consumer.service.serve`."""

    async def __call__(
        self, settings: Settings, stop: asyncio.Event, ready: asyncio.Event
    ) -> None: ...


def main(argv: Sequence[str] | None = None, serve: Serve | None = None) -> int:
    """Run the worker and return the exit code; `serve` replaces `consumer.service.serve`."""
    given = {name: text for name, text in vars(_parser().parse_args(argv)).items() if text}
    try:
        settings = from_environment(**given)
    except ConfigError as error:
        return _report(error, 2)
    logs.configure(settings.log_format, settings.log_level)
    return asyncio.run(_serve(settings, serve))


async def _serve(settings: Settings, serve: Serve | None) -> int:
    limit_spinning(os.environ)
    retain_memory(os.environ)
    serve = serve or _service()
    stop, ready = asyncio.Event(), asyncio.Event()
    signals: list[int] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, signals, stop, ready)
    try:
        await serve(settings, stop, ready)
    except (SttError, TimeoutError, BaseExceptionGroup) as raised:
        return _failed(_leaf(raised), begun=ready.is_set())
    return _code(signals[0])


def _service() -> Serve:
    """Import the service. It loads torch, so the settings are checked first."""
    from consumer.service import serve

    return serve


def _on_signal(number: int, signals: list[int], stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Drain at the first signal; exit at once at the second, or before the worker serves."""
    signals.append(number)
    if stop.is_set() or not ready.is_set():
        log.warning("stopped immediately", signal=signal.Signals(number).name)
        os._exit(_code(number))  # a thread that loads or decodes cannot be interrupted
    log.info("draining", signal=signal.Signals(number).name)
    stop.set()


def _code(number: int) -> int:
    return 130 if number == signal.SIGINT else 0


def _leaf(error: BaseException) -> BaseException:
    """Return the first error in nested exception groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _failed(error: BaseException, *, begun: bool) -> int:
    """Report an error, as plain lines or, once `begun`, as a log; return or exit with its code."""
    if isinstance(error, ConfigError):
        return _report(error, 2)
    if isinstance(error, SttError) and not begun:
        return _report(error, 1)
    if isinstance(error, TimeoutError):
        log.error("drain timed out: the next worker repeats what was in flight")
    elif isinstance(error, SttError):
        log.error("worker failed", kind=type(error).__name__, error=str(error))
    else:
        raise error
    logging.shutdown()
    os._exit(1)  # a hung thread would keep the process alive


def _report(error: SttError, code: int) -> int:
    """Print each problem on a line of its own; return the exit code."""
    for problem in str(error).splitlines():
        sys.stderr.write(f"streamscribe worker: {problem}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="streamscribe worker",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for setting in fields(Settings):
        flag = "--" + setting.name.replace("_", "-")
        default = f" [{setting.default}]" if setting.default != "" else ""
        parser.add_argument(flag, metavar="X", help=setting.metadata["help"] + default)
    return parser


if __name__ == "__main__":
    sys.exit(main())
