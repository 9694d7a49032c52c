"""`streamscribe tail`: print transcripts as they are published."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias

from rich.console import Console

from captions.jsonl import json_line
from schemas.transcript import AnyEvent
from subscriber.captions import Captions
from subscriber.live_captions import CaptionsByStream, InterleavedCaptions, LiveRegion
from subscriber.reader import TranscriptReader
from transport.arguments import add_kafka, security, start
from transport.console import PipeConsole, printable
from transport.errors import first_error
from transport.start import START_HELP, Edge
from transport.topic_reader import CONNECT_TIMEOUT_S, ReaderError

EPILOG: Final = """\
On a terminal, what is being spoken is grey and changes in place until its final comes, for streams
that request partials; improbable words are yellow, and (?) is a final that a person should check.
Suppressed finals (no speech) and starts of streams are printed only with --all."""
_TICK_S: Final = 1.0

Show: TypeAlias = Callable[[AnyEvent], None]


def main(argv: Sequence[str] | None = None) -> int:
    usage = parser()
    options = usage.parse_args(argv)
    console = PipeConsole(highlight=False)
    is_live = console.is_terminal and not console.is_dumb_terminal and not options.json
    if options.by_stream and not is_live:
        usage.error("--by-stream needs a terminal, and goes without --json")
    logging.getLogger("aiokafka").addHandler(ClientErrors())
    connect = partial(
        TranscriptReader,
        options.bootstrap,
        streams=options.streams or (),
        security=security(usage),
        warn=warn,
    )
    reader = connect(options.topic or options.topics.transcripts, start=options.start)
    # Another topic than that of the workers has no partials.
    interim = None if options.topic else connect(options.topics.partials)
    try:
        if is_live:
            asyncio.run(caption_live(reader, interim, live_captions(options, console)))
        else:
            show = json_printer() if options.json else captions(options, console).show
            asyncio.run(print_all(reader, show))
    except* ReaderError as group:
        warn(str(first_error(group)))
    return 1


async def print_all(reader: TranscriptReader, show: Show) -> None:
    async with reader:
        async for event in reader:
            show(event)


async def caption_live(
    reader: TranscriptReader, interim: TranscriptReader | None, region: LiveRegion
) -> None:
    """Show the events of both topics; without the right to read partials, finals alone."""
    async with reader:
        with region:
            async with asyncio.TaskGroup() as group:
                group.create_task(tick(region))
                if interim:
                    group.create_task(show_interim(interim, region.show))
                async for event in reader:
                    region.show(event)


async def show_interim(reader: TranscriptReader, show: Show) -> None:
    try:
        await print_all(reader, show)
    except ReaderError as error:
        warn(f"finals only: {error}")


async def tick(region: LiveRegion) -> None:
    while True:
        await asyncio.sleep(_TICK_S)
        region.tick()


def captions(options: argparse.Namespace, console: Console) -> Captions:
    return Captions(console, everything=options.everything, streams=options.streams or ())


def live_captions(options: argparse.Namespace, console: Console) -> LiveRegion:
    if not options.by_stream:
        return InterleavedCaptions(console, captions(options, console), time.monotonic)
    return CaptionsByStream(
        console, time.monotonic, everything=options.everything, streams=options.streams or ()
    )


def json_printer() -> Show:
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
    option("--by-stream", action="store_true", help="lines of its own for each stream")
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
