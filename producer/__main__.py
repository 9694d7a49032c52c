"""`streamscribe publish`: publish audio files and standard input to Kafka."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from producer import arguments
from producer.addresses import address_problem
from producer.errors import MediaError, PublishError
from producer.media import AudioInput, PipeSource, max_open_files, open_input
from producer.naming import stream_ids
from producer.pacing import RealtimeClock
from producer.progress import Bars, Lines, print_error
from producer.publish_streams import InputStream, PublishContext, publish_streams
from producer.publisher import AudioPublisher
from transport.console import silence_client_log
from transport.security import Security, SecurityError, security_from

FAILED: Final = 1
USAGE: Final = 2
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN_BYTES: Final = 3  # of randomness in generated stream ids


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments.parser().parse_args(argv)
    silence_client_log()
    if problems := input_problems(options.inputs):
        return usage_error(problems)
    try:
        security = security_from(os.environ)
    except SecurityError as error:
        return usage_error(error.problems)
    inputs = open_inputs(options)
    if not inputs:
        return FAILED
    try:
        code = asyncio.run(publish(inputs, options, security))
    except PublishError as error:
        print_error(str(error))
        return FAILED
    return code if len(inputs) == len(options.inputs) else code or FAILED


def input_problems(inputs: Sequence[str]) -> list[str]:
    """Return a line for each input that is wrong usage."""
    problems = [problem for text in inputs if (problem := address_problem(text)) is not None]
    if inputs.count(arguments.STDIN) > 1:
        problems.append(f"{arguments.STDIN}: standard input can be read only once: name it once")
    return problems


def open_inputs(options: argparse.Namespace) -> list[InputStream]:
    """Return the inputs that can be read, and print an error for each other.

    The ids do not depend on which can be read: they are known before.
    """
    turns = asyncio.Semaphore(max_open_files())
    run = secrets.token_hex(RUN_BYTES)
    ids = stream_ids([stem(text) for text in options.inputs], options.stream, run)
    inputs = []
    for stream_id, text in zip(ids, options.inputs, strict=True):
        try:
            inputs.append(InputStream(stream_id, open_source(text, options, turns)))
        except MediaError as error:
            print_error(str(error))
    return inputs


def open_source(text: str, options: argparse.Namespace, turns: asyncio.Semaphore) -> AudioInput:
    """Return the input of this name. Raises MediaError."""
    if text == arguments.STDIN:
        return PipeSource(None, arguments.stdin_format(options))
    return open_input(Path(text), turns)


def stem(text: str) -> str:
    """Return the part of an input's name that its stream id has."""
    return "stdin" if text == arguments.STDIN else Path(text).stem


async def publish(
    inputs: Sequence[InputStream], options: argparse.Namespace, security: Security
) -> int:
    """Publish all inputs and return the exit code. Raises PublishError."""
    topic, stop = arguments.topic(options), asyncio.Event()
    async with AudioPublisher(options.bootstrap, topic, security=security) as publisher:
        with stop_on_signals(stop) as received, new_reporter(topic) as reporter:
            context = PublishContext(publisher.send, RealtimeClock(), stop, reporter)
            complete = await publish_streams(inputs, arguments.publish_options(options), context)
            await publisher.flush()
    if received:
        return 128 + received[0]
    return 0 if complete else FAILED


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[list[signal.Signals]]:
    """Set `stop` on the first signal, which ends the streams in order; a second ends the process.

    Yields a list that receives the signal.
    """
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def receive(number: signal.Signals) -> None:
        received.append(number)
        remove_handlers()
        stop.set()

    handled = handled_signals()

    def remove_handlers() -> None:
        for number in handled:
            loop.remove_signal_handler(number)

    for number in handled:
        loop.add_signal_handler(number, receive, number)
    try:
        yield received
    finally:
        remove_handlers()


def handled_signals() -> list[signal.Signals]:
    """Return the signals that end the streams; SIGHUP only if it is not ignored, as by nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in SIGNALS if number is not signal.SIGHUP or not ignored]


def new_reporter(topic: str) -> Bars | Lines:
    console = Console()
    return Bars(console) if console.is_terminal else Lines(topic)


def usage_error(problems: Sequence[str]) -> int:
    for problem in problems:
        print_error(problem)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
