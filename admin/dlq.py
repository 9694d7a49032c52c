"""`streamscribe dlq ls|show`: what was refused, and why."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from admin.dead_letters import ReceivedDeadLetter, dead_letter
from schemas.errors import Reason
from transport.arguments import add_kafka, argument_type, security, start
from transport.console import local_time, printable
from transport.start import START_HELP, Edge
from transport.topic_reader import ReaderError, TopicReader

_PLACE: Final = re.compile(r"\d{1,9}/\d{1,18}")
_SHOWN_BYTES: Final = 32  # of a value


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    reader = letter_reader(parser, options)
    try:
        return asyncio.run(
            _list(reader, options) if options.action == "ls" else _show(reader, options)
        )
    except ReaderError as error:
        warn(str(error))
        return 1


def letter_reader(parser: argparse.ArgumentParser, options: argparse.Namespace) -> TopicReader:
    return TopicReader(
        options.bootstrap,
        options.topics.audio_dlq,
        start=options.since,
        security=security(parser),
        warn=warn,
    )


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Which letters."""
    parser.add_argument(
        "--reason",
        dest="reasons",
        action="append",
        default=[],
        choices=list(Reason),
        metavar="CODE",
        help="only these, as in dlq.reason; repeatable",
    )
    parser.add_argument(
        "--since", type=start, default=Edge.BEGINNING, metavar="TIME", help=START_HELP
    )


async def _list(reader: TopicReader, options: argparse.Namespace) -> int:
    async with reader:
        async for record in reader.records_to_end():
            letter = dead_letter(record)
            if not options.reasons or letter.reason in options.reasons:
                print(line(letter))
    return 0


async def _show(reader: TopicReader, options: argparse.Namespace) -> int:
    async with reader:
        async for record in reader.records_to_end():
            if (letter := dead_letter(record)).place == options.place:
                _put(letter, value=options.value)
                return 0
    warn(f"no dead letter at {options.place}: `streamscribe dlq ls` lists them")
    return 1


def _put(letter: ReceivedDeadLetter, *, value: bool) -> None:
    if value:
        sys.stdout.buffer.write(letter.value or b"")
    else:
        print("\n".join(details(letter)))


def line(letter: ReceivedDeadLetter) -> str:
    """When, where, which stream, why."""
    when = local_time(letter.dead_ms)
    columns = (
        f"{when:%Y-%m-%d %H:%M:%S}" if when else "-",
        letter.place,
        letter.stream_id or "-",
        letter.reason or "-",
        f"{letter.size} B",
        letter.details.get("message", ""),
    )
    return "  ".join(map(printable, columns))


def details(letter: ReceivedDeadLetter) -> Iterator[str]:
    """A line for everything that is known of it."""
    yield f"place: {letter.place}"
    yield f"origin: {printable(letter.origin)}"
    yield f"key: {shown(letter.key)}"
    for name, told in letter.details.items():
        yield f"dlq.{printable(name)}: {printable(told)}"
    for header, content in letter.headers:
        yield f"header {printable(header)}: {shown(content)}"
    yield f"value: {letter.size} bytes, sha256 {letter.sha256}"
    yield f"begins: {shown((letter.value or b'')[:_SHOWN_BYTES])}"


def shown(content: bytes | None) -> str:
    """Bytes as they may stand on a terminal."""
    if content is None:
        return "null"
    return ascii(content.decode("ascii", "backslashreplace"))


def warn(message: str) -> None:
    sys.stderr.write(f"streamscribe dlq: {printable(message)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe dlq", description="Look at the records that were refused."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|show")
    ls = actions.add_parser("ls", help="a line each: when, where, stream, reason, size, what to do")
    add_choice(ls)
    show = actions.add_parser("show", help="all that is known of one")
    show.add_argument("place", type=_place, metavar="PARTITION/OFFSET", help="as ls tells it")
    show.add_argument("--value", action="store_true", help="its value alone, as it came")
    show.set_defaults(since=Edge.BEGINNING)
    for action in (ls, show):
        add_kafka(action)
    return parser


@argument_type
def _place(text: str) -> str:
    if not _PLACE.fullmatch(text):
        raise ValueError(f"{text!r} is not PARTITION/OFFSET")
    return text
