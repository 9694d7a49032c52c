"""`streamscribe redrive`: send dead letters back to the workers, each stream under a new id."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from admin.dead_letters import (
    ReceivedDeadLetter,
    Redriven,
    last_record,
    new_stream_id,
    redriven,
)
from admin.dlq import add_filters, letter_reader, letters
from schemas.topics import MAX_MESSAGE_BYTES
from transport.arguments import add_kafka, security
from transport.authorization import authorization_problem
from transport.client import client_arguments
from transport.console import count, printable, silence_client_log
from transport.security import Security
from transport.topic_reader import ReaderError, TopicReader

_RUN_BYTES: Final = 3  # of randomness in new ids
_ADDED_BYTES: Final = 8 << 10  # more than the added header and the longer key
_MAX_UNACKNOWLEDGED: Final = 256  # records


class Redrive:
    """One run over the selected letters, and its counts; `producer` None: nothing is sent."""

    def __init__(self, producer: AIOKafkaProducer | None, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._run = secrets.token_hex(_RUN_BYTES)
        self._pending: list[asyncio.Future[object]] = []
        self._open: dict[str, None] = {}  # new streams without an `end` so far, in order
        self.streams: dict[str, str] = {}  # new id: old id
        self.reasons: Counter[str] = Counter()  # of letters that were sent back
        self.kept = 0  # letters that cannot be sent back

    async def send_back(self, letter: ReceivedDeadLetter) -> None:
        if not letter.may_return:
            self.kept += 1
            return
        stream_id = new_stream_id(letter, self._run)
        self.streams[stream_id] = letter.stream_id or "-"
        self.reasons[letter.reason] += 1
        self._open[stream_id] = None
        if letter.ends:
            del self._open[stream_id]
        await self._send(redriven(letter, stream_id))

    async def finish(self) -> None:
        """End every stream without an `end` of its own, and wait for all acknowledgements."""
        for stream_id in self._open:
            await self._send(last_record(stream_id))
        await self._wait_acknowledged()

    async def _send(self, record: Redriven) -> None:
        if self._producer is None:
            return
        self._pending.append(
            await self._producer.send(
                self._topic, key=record.key, value=record.value, headers=record.headers
            )
        )
        if len(self._pending) >= _MAX_UNACKNOWLEDGED:
            await self._wait_acknowledged()

    async def _wait_acknowledged(self) -> None:
        pending, self._pending = self._pending, []
        await asyncio.gather(*pending)


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    silence_client_log()
    reader, access = letter_reader(parser, options), security(parser)
    try:
        run = asyncio.run(_redrive(reader, access, options))
    except ReaderError as error:
        return _fail(str(error))
    except KafkaError as error:
        return _fail(authorization_problem(error, access) or f"Kafka rejects records: {error!r}")
    for line in report(run, dry_run=options.dry_run):
        print(line)
    return 0


async def _redrive(reader: TopicReader, access: Security, options: argparse.Namespace) -> Redrive:
    topic = options.topic or options.topics.audio_bulk
    async with reader, _producer(options.bootstrap, access, dry_run=options.dry_run) as producer:
        run = Redrive(producer, topic)
        async for letter in letters(reader, options.reasons):
            await run.send_back(letter)
        await run.finish()
    return run


@asynccontextmanager
async def _producer(
    bootstrap: str, access: Security, *, dry_run: bool
) -> AsyncIterator[AIOKafkaProducer | None]:
    if dry_run:
        yield None
        return
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        max_request_size=MAX_MESSAGE_BYTES + _ADDED_BYTES,
        **client_arguments(access),
    )
    async with producer:
        yield producer


def report(run: Redrive, *, dry_run: bool) -> list[str]:
    """Return the lines on what was sent back, or would be."""
    lines = [f"{old} -> {new}" for new, old in run.streams.items()]
    lines += [f"{count(n, 'record')}: {reason}" for reason, n in run.reasons.most_common()]
    total, streams = count(run.reasons.total(), "record"), count(len(run.streams), "stream")
    lines.append(f"{total} {'to send' if dry_run else 'sent'} back, as {streams}")
    if run.kept:
        lines.append(f"{count(run.kept, 'record')} cannot be sent back: too large or incomplete")
    return list(map(printable, lines))


def _fail(problem: str) -> int:
    sys.stderr.write(f"streamscribe redrive: {printable(problem)}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe redrive",
        description="Send dead letters back to the workers. The rejected records of one stream "
        "become one new stream, whose id begins with the old one.",
        epilog="They stay in the dead-letter topic: a second run sends them a second time.",
    )
    add_filters(parser)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be sent back")
    parser.add_argument(
        "--topic",
        metavar="NAME",
        help="target topic (default: PREFIX.audio.bulk.v1, which is served after live audio)",
    )
    add_kafka(parser)
    return parser
