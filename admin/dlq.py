"""`streamscribe dlq ls|show`: list and show dead letters."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from typing import Final

from admin.dead_letters import ReceivedDeadLetter, dead_letter
from schemas.errors import Reason
from transport.arguments import add_kafka, argument_type, security, start
from transport.console import local_time, printable, silence_client_log
from transport.start import START_HELP, Edge
from transport.topic_reader import ReaderError, TopicReader

_PLACE: Final = re.compile(r"\d{1,9}/\d{1,18}")
_SHOWN_BYTES: Final = 32  # of a value


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    silence_client_log()
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


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select dead letters."""
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


async def letters(
    reader: TopicReader, reasons: Collection[str] = ()
) -> AsyncIterator[ReceivedDeadLetter]:
    """Yield the dead letters up to the end of the topic; with `reasons` only those."""
    async for record in reader.records_to_end():
        letter = dead_letter(record)
        if not reasons or letter.reason in reasons:
            yield letter


async def _list(reader: TopicReader, options: argparse.Namespace) -> int:
    async with reader:
        async for letter in letters(reader, options.reasons):
            print(line(letter))
    return 0


async def _show(reader: TopicReader, options: argparse.Namespace) -> int:
    async with reader:
        async for letter in letters(reader):
            if letter.place == options.place:
                _print(letter, value=options.value)
                return 0
    warn(f"no dead letter at {options.place}: `streamscribe dlq ls` lists them")
    return 1


def _print(letter: ReceivedDeadLetter, *, value: bool) -> None:
    if value:
        sys.stdout.buffer.write(letter.value or b"")
    else:
        print("\n".join(details(letter)))


def line(letter: ReceivedDeadLetter) -> str:
    """Return the letter's line: time, place, stream, reason, size, message."""
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
    """Yield one line for each property of the letter."""
    yield f"place: {letter.place}"
    yield f"origin: {printable(letter.origin)}"
    yield f"key: {shown(letter.key)}"
    for name, text in letter.details.items():
        yield f"dlq.{printable(name)}: {printable(text)}"
    for header, content in letter.headers:
        yield f"header {printable(header)}: {shown(content)}"
    yield f"value: {letter.size} bytes, sha256 {letter.sha256}"
    yield f"begins: {shown((letter.value or b'')[:_SHOWN_BYTES])}"


def shown(content: bytes | None) -> str:
    """Return bytes as text that is safe to print on a terminal."""
    if content is None:
        return "null"
    return ascii(content.decode("ascii", "backslashreplace"))


def warn(message: str) -> None:
    sys.stderr.write(f"streamscribe dlq: {printable(message)}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe dlq", description="List and show dead letters: records that were rejected."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ls|show")
    ls = actions.add_parser("ls", help="one line each: time, place, stream, reason, size, message")
    add_filters(ls)
    show = actions.add_parser("show", help="all properties of one")
    show.add_argument("place", type=_place, metavar="PARTITION/OFFSET", help="as printed by ls")
    show.add_argument("--value", action="store_true", help="print only its original value")
    show.set_defaults(since=Edge.BEGINNING)
    for action in (ls, show):
        add_kafka(action)
    return parser


@argument_type
def _place(text: str) -> str:
    if not _PLACE.fullmatch(text):
        raise ValueError(f"{text!r} is not PARTITION/OFFSET")
    return text
