"""`streamscribe redrive`: dead letters back to the workers, each old stream as a new one."""

from __future__ import annotations

import argparse
import asyncio
import logging
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
    dead_letter,
    last_record,
    new_stream_id,
    redriven,
)
from admin.dlq import add_choice, letter_reader
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from transport.arguments import add_kafka, security
from transport.authorization import authorization_problem
from transport.client import client_arguments
from transport.console import count, printable
from transport.security import Security
from transport.topic_reader import ReaderError, TopicReader

_RUN_BYTES: Final = 3  # of randomness in new ids
_FRAMING_BYTES: Final = 16 << 10  # a batch's and a record's own fields, the key, one more header
_AT_ONCE: Final = 256  # records that wait to be acknowledged


class Redrive:
    """One run over the letters that were chosen; `producer` None: nothing is sent."""

    def __init__(self, producer: AIOKafkaProducer | None, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._run = secrets.token_hex(_RUN_BYTES)
        self._pending: list[asyncio.Future[object]] = []
        self._open: dict[str, None] = {}  # new streams without an end, as they came
        self.streams: dict[str, str] = {}  # new id: old id
        self.reasons: Counter[str] = Counter()  # of letters that went back
        self.kept = 0  # letters that cannot

    async def take(self, letter: ReceivedDeadLetter) -> None:
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
        """End every stream that did not end by itself; wait until Kafka has it all."""
        for stream_id in self._open:
            await self._send(last_record(stream_id))
        await self._acknowledged()

    async def _send(self, record: Redriven) -> None:
        if self._producer is None:
            return
        self._pending.append(
            await self._producer.send(
                self._topic, key=record.key, value=record.value, headers=record.headers
            )
        )
        if len(self._pending) >= _AT_ONCE:
            await self._acknowledged()

    async def _acknowledged(self) -> None:
        pending, self._pending = self._pending, []
        await asyncio.gather(*pending)


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters becomes our one line
    reader, guarded = letter_reader(parser, options), security(parser)
    try:
        run = asyncio.run(_redrive(reader, guarded, options))
    except ReaderError as error:
        return _failed(str(error))
    except KafkaError as error:
        return _failed(
            authorization_problem(error, guarded) or f"Kafka does not take them back: {error!r}"
        )
    for line in report(run, dry_run=options.dry_run):
        print(line)
    return 0


async def _redrive(reader: TopicReader, guarded: Security, options: argparse.Namespace) -> Redrive:
    topic = options.topic or options.topics.audio_bulk
    async with reader, _producer(options.bootstrap, guarded, dry_run=options.dry_run) as producer:
        run = Redrive(producer, topic)
        async for record in reader.records_to_end():
            letter = dead_letter(record)
            if not options.reasons or letter.reason in options.reasons:
                await run.take(letter)
        await run.finish()
    return run


@asynccontextmanager
async def _producer(
    bootstrap: str, guarded: Security, *, dry_run: bool
) -> AsyncIterator[AIOKafkaProducer | None]:
    if dry_run:
        yield None
        return
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        max_request_size=MAX_RECORD_BYTES + MAX_HEADER_BYTES + _FRAMING_BYTES,
        **client_arguments(guarded),
    )
    async with producer:
        yield producer


def report(run: Redrive, *, dry_run: bool) -> list[str]:
    """What went back, or would."""
    lines = [f"{old} -> {new}" for new, old in run.streams.items()]
    lines += [f"{count(n, 'record')}: {reason}" for reason, n in run.reasons.most_common()]
    total, streams = count(run.reasons.total(), "record"), count(len(run.streams), "stream")
    lines.append(f"{total} {'would go' if dry_run else 'went'} back, as {streams}")
    if run.kept:
        lines.append(f"{count(run.kept, 'record')} cannot go back: too large, or kept in part")
    return list(map(printable, lines))


def _failed(problem: str) -> int:
    sys.stderr.write(f"streamscribe redrive: {printable(problem)}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "streamscribe redrive",
        description="Send dead letters back to the workers. What was refused of one stream becomes "
        "one new stream, whose id begins with the old one.",
        epilog="They stay in the dead-letter topic: run it twice and they go back twice.",
    )
    add_choice(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would go back")
    parser.add_argument(
        "--topic", metavar="NAME", help="where to (default: PREFIX.audio.bulk.v1, after live audio)"
    )
    add_kafka(parser)
    return parser
