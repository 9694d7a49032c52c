"""The command lines of the worker and of the engine: flags and environment -> Settings -> serve.

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
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import fields
from typing import Final, Protocol

import structlog

from consumer.errors import ConfigError, SttError
from consumer.process_tuning import limit_spinning, retain_memory
from consumer.settings import Settings, from_environment
from transport.errors import first_error

log = structlog.get_logger("consumer")

EPILOG: Final = """\
exit codes: 0 drained after SIGTERM; 1 failed, start it again; 2 settings or topics are wrong;
130 stopped by Ctrl-C"""


class Serve(Protocol):
    """The signature of `consumer.service.serve`."""

    async def __call__(
        self, settings: Settings, stop: asyncio.Event, ready: asyncio.Event
    ) -> None: ...


def settings_parser(
    command: str,
    description: str,
    *,
    names: Container[str] | None = None,
    renamed: Mapping[str, str] | None = None,
) -> argparse.ArgumentParser:
    """Return a parser with a flag for each setting, or for those in `names`.

    `renamed`: setting to flag, where they differ.
    """
    parser = argparse.ArgumentParser(
        prog=f"streamscribe {command}",
        description=description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for setting in fields(Settings):
        if names is None or setting.name in names:
            flag = (renamed or {}).get(setting.name, setting.name)
            default = f" [{setting.default}]" if setting.default != "" else ""
            parser.add_argument(
                f"--{flag.replace('_', '-')}",
                dest=setting.name,
                metavar="X",
                help=setting.metadata["help"] + default,
            )
    return parser


def read_settings(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> Settings:
    """Return the settings of flags and environment; empty flags are ignored.

    Raises `ConfigError`.
    """
    given = {name: text for name, text in vars(parser.parse_args(argv)).items() if text}
    return from_environment(**given)


def run(command: str, settings: Settings, load_serve: Callable[[], Serve]) -> int:
    """Serve until a signal, and return the exit code.

    `load_serve` imports the service, which may load torch: the settings are checked before.
    """
    limit_spinning(os.environ)
    retain_memory(os.environ)
    return asyncio.run(_serve(command, settings, load_serve()))


async def _serve(command: str, settings: Settings, serve: Serve) -> int:
    stop, ready = asyncio.Event(), asyncio.Event()
    signals: list[int] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, signals, stop, ready)
    try:
        await serve(settings, stop, ready)
    except (SttError, TimeoutError, BaseExceptionGroup) as raised:
        return _failed(command, first_error(raised), begun=ready.is_set())
    return _code(signals[0])


def _on_signal(number: int, signals: list[int], stop: asyncio.Event, ready: asyncio.Event) -> None:
    """Drain at the first signal; exit at once at the second, or before the service is ready."""
    signals.append(number)
    if stop.is_set() or not ready.is_set():
        log.warning("stopped immediately", signal=signal.Signals(number).name)
        os._exit(_code(number))  # a thread that loads or decodes cannot be interrupted
    log.info("draining", signal=signal.Signals(number).name)
    stop.set()


def _code(number: int) -> int:
    return 130 if number == signal.SIGINT else 0


def _failed(command: str, error: BaseException, *, begun: bool) -> int:
    """Report an error, as plain lines or, once `begun`, as a log; return or exit with its code."""
    if isinstance(error, ConfigError):
        return report(command, error, 2)
    if isinstance(error, SttError) and not begun:
        return report(command, error, 1)
    if isinstance(error, TimeoutError):
        log.error("drain timed out: the next worker repeats what was in flight")
    elif isinstance(error, SttError):
        event = f"{command} failed"
        log.error(event, kind=type(error).__name__, error=str(error))
    else:
        raise error
    logging.shutdown()
    os._exit(1)  # a hung thread would keep the process alive


def report(command: str, error: SttError, code: int) -> int:
    """Print each problem on a line of its own; return the exit code."""
    for problem in str(error).splitlines():
        sys.stderr.write(f"streamscribe {command}: {problem}\n")
    return code
