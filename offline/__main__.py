"""`streamscribe transcribe`: transcribe files, folders and standard input without Kafka."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from rich.console import Console

from captions.formats import write
from consumer.errors import ConfigError, SttError
from consumer.process_tuning import limit_spinning, retain_memory
from consumer.settings import Settings
from offline import arguments
from offline.plan import Plan, Planning
from offline.progress import new_reporter, print_summary
from producer.arguments import STDIN
from transport.errors import first_error

FAILED: Final = 1
USAGE: Final = 2
SIGNALLED: Final = 128  # and the number of the signal, as shells report it


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments.parser().parse_args(argv)
    if problems := usage_problems(options):
        return report(problems, USAGE)
    try:
        settings = arguments.settings(os.environ, **arguments.model_settings(options))
    except ConfigError as error:
        return report(error.problems, USAGE)
    try:
        plan = Planning(options, text_options(options, settings)).plan()
    except OSError as error:
        return report([f"{error.filename}: {error.strerror}"], FAILED)
    if not plan.tasks:
        print_summary(Console(stderr=True), 0, plan.skipped, plan.failures)
        return FAILED if plan.failures else 0
    limit_spinning(os.environ)
    retain_memory(os.environ)
    return run(plan, options, settings)


def usage_problems(options: argparse.Namespace) -> list[str]:
    """Return a line for each combination of arguments that is wrong."""
    problems = []
    if options.inputs.count(STDIN) > 1:
        problems.append(f"{STDIN}: standard input can be read only once: name it once")
    if STDIN in options.inputs and options.out is None and len(set(options.format or ())) > 1:
        problems.append("--format: several of standard input need a folder: add --out")
    for name in set(options.format or ()):
        write(name, ())  # raises ModuleNotFoundError now, if an extra is missing
    return problems


def text_options(options: argparse.Namespace, settings: Settings) -> dict[str, str]:
    """Return the options on which texts depend."""
    chosen = {
        "language": ",".join(options.language) if options.language else settings.language,
        "prompt": options.prompt,
        "hotwords": options.hotwords,
        "task": "translate" if options.translate else None,
        "model": settings.model,
        "dtype": settings.dtype,
        "script": settings.script,
        "endpoint_ms": str(settings.endpoint_ms),
    }
    return {name: str(value) for name, value in chosen.items() if value}


def run(plan: Plan, options: argparse.Namespace, settings: Settings) -> int:
    """Transcribe, and return or exit with the exit code."""
    try:
        code = asyncio.run(transcribe(plan, options, settings))
    except ConfigError as error:
        return report(error.problems, USAGE)
    except SttError as error:
        leave(report([str(error)], FAILED))
    if code > SIGNALLED:
        leave(code)
    return code


def leave(code: int) -> NoReturn:
    """Exit without waiting for the model's thread, which may take long, or hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def transcribe(plan: Plan, options: argparse.Namespace, settings: Settings) -> int:
    """Transcribe until the end or a signal; return the exit code. Raises `SttError`."""
    from consumer import logs
    from offline.batch import BatchRun
    from offline.service import serving

    console = Console(stderr=True)
    logs.configure(settings.log_format, settings.log_level)
    ready = asyncio.Event()
    received = cancel_on_signals(ready)
    failures, done = plan.failures, 0
    try:
        async with serving(settings) as service:
            ready.set()
            with new_reporter(console) as reporter:
                batch = BatchRun(service, arguments.stream_options(options), reporter)
                try:
                    await batch.run(plan.tasks)
                finally:
                    failures, done = [*failures, *batch.failures], batch.done
    except BaseExceptionGroup as group:
        raise first_error(group) from None
    except asyncio.CancelledError:
        if not received:
            raise
    print_summary(console, done, plan.skipped, failures)
    if received:
        console.print("interrupted: the same command continues")
        return SIGNALLED + received[0]
    return FAILED if failures else 0


def cancel_on_signals(ready: asyncio.Event) -> list[signal.Signals]:
    """Cancel the current task at the first signal; the second ends the process.

    Before `ready` the first one does: a thread that loads cannot be interrupted. Returns a list
    that receives the signal.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    handled = (signal.SIGINT, signal.SIGTERM)
    received: list[signal.Signals] = []

    def receive(number: signal.Signals) -> None:
        if received or not ready.is_set():
            leave(SIGNALLED + number)
        received.append(number)
        task.cancel()

    for number in handled:
        loop.add_signal_handler(number, receive, number)
    return received


def report(problems: Sequence[str], code: int) -> int:
    """Print each problem on a line of its own; return the exit code."""
    for problem in problems:
        sys.stderr.write(f"streamscribe transcribe: {problem}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
