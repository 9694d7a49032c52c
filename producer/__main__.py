"""`streamscribe publish`: audio into Kafka."""

from __future__ import annotations

import argparse
import asyncio
import logging
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
from producer.errors import MediaError, PublishError
from producer.media import AudioInput, StdinSource, open_file
from producer.naming import stream_ids
from producer.pacing import RealtimeClock
from producer.progress import Bars, Lines
from producer.publish_streams import InputStream, PublishContext, publish_streams
from producer.publisher import AudioPublisher
from transport.security import Security, SecurityError, security_from

USAGE: Final = 2
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
RUN_BYTES: Final = 3  # of randomness in the ids of streams that nobody named


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments.parser().parse_args(argv)
    # What the client has to say of a failure, the one line below says better.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sources, problems = opened(options)
    for problem in problems:
        complain(problem)
    if problems:
        return USAGE
    try:
        security = security_from(os.environ)
    except SecurityError as error:
        for problem in error.problems:
            complain(problem)
        return USAGE
    try:
        return asyncio.run(publish(named(sources, options.stream), options, security))
    except PublishError as error:
        complain(str(error))
        return 1


def opened(options: argparse.Namespace) -> tuple[list[AudioInput], list[str]]:
    """All inputs, and a line for each that cannot be read: nothing is sent unless all can."""
    sources: list[AudioInput] = []
    problems = []
    for text in options.inputs:
        try:
            sources.append(source(text, options))
        except MediaError as error:
            problems.append(str(error))
    if options.inputs.count(arguments.STDIN) > 1:
        problems.append(f"{arguments.STDIN}: standard input can be read but once")
    return sources, problems


def source(text: str, options: argparse.Namespace) -> AudioInput:
    if text == arguments.STDIN:
        return StdinSource(arguments.stdin_format(options))
    return open_file(Path(text))


def named(sources: Sequence[AudioInput], asked: str | None) -> list[InputStream]:
    ids = stream_ids([source.stem for source in sources], asked, secrets.token_hex(RUN_BYTES))
    return [InputStream(*pair) for pair in zip(ids, sources, strict=True)]


async def publish(
    items: Sequence[InputStream], options: argparse.Namespace, security: Security
) -> int:
    """The exit code. Raises PublishError."""
    topic, stop = arguments.topic(options), asyncio.Event()
    async with AudioPublisher(options.bootstrap, topic, security=security) as publisher:
        with stopped_by_signals(stop) as received, watching(topic) as reporter:
            stage = PublishContext(publisher.send, RealtimeClock(), stop, reporter)
            whole = await publish_streams(items, arguments.publish_options(options), stage)
            await publisher.flush()
    if received:
        return 128 + received[0]
    return 0 if whole else 1


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[list[signal.Signals]]:
    """The first signal ends the streams as it should be, a second one ends the process."""
    loop = asyncio.get_running_loop()
    received: list[signal.Signals] = []

    def receive(number: signal.Signals) -> None:
        received.append(number)
        release()
        stop.set()

    def release() -> None:
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, receive, number)
    try:
        yield received
    finally:
        release()


def watching(topic: str) -> Bars | Lines:
    console = Console()
    return Bars(console) if console.is_terminal else Lines(topic)


def complain(problem: str) -> None:
    sys.stderr.write(f"streamscribe publish: {problem}\n")


if __name__ == "__main__":
    sys.exit(main())
