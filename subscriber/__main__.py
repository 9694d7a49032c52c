"""`streamscribe tail`: print transcripts as they are published."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from captions.jsonl import json_line
from schemas.transcript import AnyEvent
from subscriber.captions import Captions
from subscriber.reader import TranscriptReader
from transport.arguments import add_kafka, security, start
from transport.console import PipeConsole, printable
from transport.start import START_HELP, Edge
from transport.topic_reader import CONNECT_TIMEOUT_S, ReaderError

EPILOG: Final = "Suppressed finals (no speech) and starts of streams are printed only with --all."


def main(argv: Sequence[str] | None = None) -> int:
    usage = parser()
    options = usage.parse_args(argv)
    logging.getLogger("aiokafka").addHandler(ClientErrors())
    reader = TranscriptReader(
        options.bootstrap,
        options.topic or options.topics.transcripts,
        start=options.start,
        streams=options.streams or (),
        security=security(usage),
        warn=warn,
    )
    try:
        asyncio.run(print_all(reader, json_printer() if options.json else caption_printer(options)))
    except ReaderError as error:
        warn(str(error))
    return 1


async def print_all(reader: TranscriptReader, show: Callable[[AnyEvent], None]) -> None:
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
        "streamscribe tail", description="Print transcripts as they are published.", epilog=EPILOG
    )
    option = parser.add_argument
    option("--json", action="store_true", help="all events, one CloudEvent in JSON per line")
    option("--from", dest="start", type=start, default=Edge.NOW, metavar="TIME", help=START_HELP)
    option("--stream", dest="streams", action="append", metavar="ID", help="only this; repeatable")
    option("--all", dest="everything", action="store_true", help="all events")
    add_kafka(parser)
    option("--topic", metavar="NAME", help="instead of PREFIX.transcripts.v1")
    return parser


def warn(message: str) -> None:
    sys.stderr.write(f"streamscribe tail: {printable(message)}\n")


class ClientErrors(logging.Handler):
    """Prints at most one of the Kafka client's errors per minute: it retries ten times a second.

    Prints none at first, because the reader itself raises when it cannot connect.
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
