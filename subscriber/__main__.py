"""`streamscribe tail`: transcripts in the terminal, as they come."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from schemas.security import SecurityError, security_from
from schemas.topics import Topics
from schemas.transcript import AnyEvent
from subscriber.captions import Captions, PipeConsole, printable
from subscriber.jsonl import json_line
from subscriber.reader import CONNECT_TIMEOUT_S, ReaderError, TranscriptReader
from subscriber.start import START_HELP, Edge, Start, parse_start

USAGE: Final = 2
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+)(:\d{1,5})?")
EPILOG: Final = (
    "Finals whose text was suppressed (nothing was said) and starts of streams need --all."
)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    logging.getLogger("aiokafka").addHandler(ClientNews())
    try:
        security = security_from(os.environ)
    except SecurityError as error:
        for problem in error.problems:
            warn(problem)
        return USAGE
    reader = TranscriptReader(
        options.bootstrap,
        options.topic or options.topics.transcripts,
        start=options.start,
        streams=options.streams or (),
        security=security,
        warn=warn,
    )
    try:
        asyncio.run(follow(reader, json_printer() if options.json else caption_printer(options)))
    except ReaderError as error:
        warn(str(error))
    return 1


async def follow(reader: TranscriptReader, show: Callable[[AnyEvent], None]) -> None:
    async with reader:
        async for event in reader:
            show(event)


def caption_printer(options: argparse.Namespace) -> Callable[[AnyEvent], None]:
    return Captions(
        PipeConsole(highlight=False),
        everything=options.everything,
        streams=options.streams or (),
    ).show


def json_printer() -> Callable[[AnyEvent], None]:
    out = sys.stdout.buffer

    def show(event: AnyEvent) -> None:
        out.write(json_line(event))
        out.flush()

    return show


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe tail", description="Print transcripts as they come.", epilog=EPILOG
    )
    option = parser.add_argument
    option("--json", action="store_true", help="every event as a CloudEvent in JSON, one a line")
    option("--from", dest="start", type=start, default=Edge.NOW, metavar="TIME", help=START_HELP)
    option("--stream", dest="streams", action="append", metavar="ID", help="only this; repeatable")
    option("--all", dest="everything", action="store_true", help="leave no event out")
    option(
        "--bootstrap",
        type=servers,
        default=os.environ.get("STREAMSCRIBE_BOOTSTRAP", "localhost:9092"),
        metavar="HOST:PORT",
        help="Kafka (default: $STREAMSCRIBE_BOOTSTRAP, else localhost:9092)",
    )
    option(
        "--prefix",
        dest="topics",
        type=topics,
        default=os.environ.get("STREAMSCRIBE_PREFIX", Topics().prefix),
        metavar="NAME",
        help=f"of the topics (default: $STREAMSCRIBE_PREFIX, else {Topics().prefix})",
    )
    option("--topic", metavar="NAME", help="another topic than PREFIX.transcripts.v1")
    return parser


Parsed = TypeVar("Parsed")


def usage(parse: Callable[[str], Parsed]) -> Callable[[str], Parsed]:
    """What is wrong with a value, in its own words: argparse would say only that it is."""

    def parsed(text: str) -> Parsed:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


@usage
def start(text: str) -> Start:
    return parse_start(text, time.time_ns() // 1_000_000)


@usage
def topics(prefix: str) -> Topics:
    return Topics(prefix)


@usage
def servers(text: str) -> str:
    """Kafka's own form: host:port with commas between; without a port 9092."""
    if not all(map(_SERVER.fullmatch, text.split(","))):
        raise ValueError(f"{text!r} is not HOST:PORT, or several with commas between")
    return text


def warn(message: str) -> None:
    sys.stderr.write(f"streamscribe tail: {printable(message)}\n")


class ClientNews(logging.Handler):
    """The Kafka client's errors, a line a minute at most: it retries ten times a second.

    Quiet at first: when there is no connection at all, the reader says so.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next_s = time.monotonic() + CONNECT_TIMEOUT_S

    def emit(self, record: logging.LogRecord) -> None:
        if (now := time.monotonic()) >= self._next_s:
            self._next_s = now + 60
            warn(f"Kafka client: {record.getMessage()}")


if __name__ == "__main__":
    sys.exit(main())
