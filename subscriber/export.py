"""`streamscribe export`: write the transcripts of streams as files, from the history in Kafka."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from captions.errors import FormatError
from captions.formats import FORMATS, write
from schemas.topics import valid_stream_id
from schemas.transcript import AnyEvent
from subscriber.event_store import EventStore
from subscriber.reader import TranscriptReader
from transport.arguments import add_kafka, security, start
from transport.console import printable, silence_client_log
from transport.files import replace_file
from transport.start import START_HELP, Edge
from transport.topic_reader import ReaderError

FAILED: Final = 1
_ADDED_AT_ONCE: Final = 500  # events
FROM: Final = f"the first events: {START_HELP} (default: beginning)"
TO: Final = "the end of the events, in the same forms (default: now)"
EPILOG: Final = "Formats: {}.".format("; ".join(f"{n}: {f.help}" for n, f in FORMATS.items()))


def main(argv: Sequence[str] | None = None) -> int:
    usage = parser()
    options = usage.parse_args(argv)
    if problem := usage_problem(options):
        usage.error(problem)
    silence_client_log()
    reader = TranscriptReader(
        options.bootstrap,
        options.topic or options.topics.transcripts,
        start=options.start,
        streams=options.streams or (),
        security=security(usage),
        warn=warn,
    )
    with EventStore() as store:
        try:
            asyncio.run(read(reader, store, None if options.end is Edge.NOW else options.end))
        except ReaderError as error:
            warn(str(error))
            return FAILED
        return export(store, options)


def usage_problem(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the arguments together, or None."""
    if options.out is None and (options.all_streams or len(options.streams) > 1):
        return "more than one stream: --out DIR has a file for each"
    if options.out is None and options.format == "docx" and sys.stdout.isatty():
        return "docx is no text for a terminal: use --out DIR, or redirect the output"
    if options.end is Edge.BEGINNING or options.start is Edge.NOW:
        return "the export ends before it begins: --from is a time before --to"
    if options.start is not Edge.BEGINNING and options.end is not Edge.NOW:
        return None if options.start < options.end else "--from is not before --to"
    return None


async def read(reader: TranscriptReader, store: EventStore, until_ms: int | None) -> None:
    waiting: list[AnyEvent] = []
    async with reader:
        async for event in reader.history(until_ms):
            waiting.append(event)
            if len(waiting) == _ADDED_AT_ONCE:
                await asyncio.to_thread(store.add, *waiting)
                waiting.clear()
        await asyncio.to_thread(store.add, *waiting)


def export(store: EventStore, options: argparse.Namespace) -> int:
    """Write what was read and return the exit code."""
    found = store.streams()
    missing = [stream for stream in options.streams or () if stream not in found]
    for stream in missing:
        warn(f"no transcript of {stream} at this time")
    if not found and not missing:
        warn("no transcript at this time")
    written = [write_stream(store, stream, options) for stream in found]
    return 0 if written and all(written) and not missing else FAILED


def write_stream(store: EventStore, stream: str, options: argparse.Namespace) -> bool:
    """Write one stream's transcript; print an error and return False if that is not possible."""
    try:
        data = write(options.format, store.events(stream), stream)
        if options.out is not None:
            write_file(options.out, stream, FORMATS[options.format].suffix, data)
            return True
    except (FormatError, OSError) as error:
        warn(f"{stream}: {error}")
        return False
    sys.stdout.buffer.write(data)
    return True


def write_file(folder: Path, stream: str, suffix: str, data: bytes) -> None:
    """Write the file of a stream and print its path. Raises FormatError if its id is no name."""
    if not valid_stream_id(stream):  # written by another program: it could be any path
        raise FormatError("no stream id, so no name of a file: use --stream without --out")
    path = folder / f"{stream}{suffix}"
    replace_file(path, data)
    sys.stdout.write(f"{printable(str(path))}\n")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe export",
        description="Write transcripts as files, from the history in Kafka.",
        epilog=EPILOG,
    )
    option = parser.add_argument
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--stream", dest="streams", action="append", metavar="ID", help="repeatable")
    which.add_argument("--all", dest="all_streams", action="store_true", help="every stream")
    option("--format", choices=FORMATS, required=True, metavar="NAME", help=", ".join(FORMATS))
    option("--out", type=Path, metavar="DIR", help="a file for each stream, ID.FORMAT, goes here")
    option("--from", dest="start", type=start, default=Edge.BEGINNING, metavar="TIME", help=FROM)
    option("--to", dest="end", type=start, default=Edge.NOW, metavar="TIME", help=TO)
    add_kafka(parser)
    option("--topic", metavar="NAME", help="instead of PREFIX.transcripts.v1")
    return parser


def warn(message: str) -> None:
    sys.stderr.write(f"streamscribe export: {printable(message)}\n")


if __name__ == "__main__":
    sys.exit(main())
