"""Publishers in real time: many stream ids, one test stream after the other on each."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bench.robustness.chaos.record_sequence import MARGIN, invalid_records, record_sequence
from bench.robustness.chaos.test_streams import (
    CHUNK_SAMPLES,
    Closing,
    LabelledRecord,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
)
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.topics import MAX_MESSAGE_BYTES
from transport.compat import keep_batches

_PATIENCE_S: Final = 3600.0  # for brokers that are away: a batch never expires
_PAUSE_S: Final = (0.2, 3.0)  # between two streams of an id
_BEGIN_S: Final = 5.0  # within which the first streams begin
_NEW_ID: Final = 0.5  # probability that a stream has a new id, where the one before has ended
_FAULT_RATE: Final = 0.03  # probability that something happens to a record
_RETRY_S: Final = 0.1
_HEADERS: Final = (*OrderHeaders, OrderHeaders.SEQ_START)


class Publishers:
    """An asynchronous context manager; `run` returns when all streams have ended in order.

    What was published is read from the log; `streams` is what was planned.
    """

    def __init__(self, bootstrap: str, topic: str, script: StreamScript) -> None:
        self.streams: dict[int, TestStream] = {}  # by number
        self.failures: list[str] = []  # records that Kafka refused: they void the run
        self.poison = 0  # number of streams to come that hold poison
        self._topic = topic
        self._script = script
        self._numbers = count(1)
        self._stopped = asyncio.Event()
        self._invalid = invalid_records()
        self._short: list[TestStream] = []
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=10_000,
            max_batch_size=256 << 10,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        keep_batches(self._producer, _PATIENCE_S)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def run(self, ids: int) -> None:
        """Publish on that many ids until `stop`."""
        async with asyncio.TaskGroup() as group:
            for index in range(ids):
                group.create_task(self._publish_id(index))
        for stream in self._short:
            await self._publish_part(stream, MARGIN, None)
        await self.flush()

    def stop(self) -> None:
        self._stopped.set()

    async def flush(self) -> None:
        """Return when Kafka has every record that was sent."""
        await self._producer.flush()

    async def publish_invalid(self, records: int) -> None:
        """Publish records that no stream can have, on random partitions."""
        partitions = sorted(await self._producer.partitions_for(self._topic))
        for record in islice(self._invalid, records):
            await self.send(record, random.choice(partitions))

    async def publish_short(self, streams: int) -> None:
        """Begin that many streams of a few records; `run` ends them."""
        for _ in range(streams):
            planned = TestStream(0, f"crowd-{len(self._short)}", OrderHeaders.SEQ)
            self._short.append(self._begin(planned))
            await self._publish_part(self._short[-1], 0, MARGIN)

    async def send(self, record: LabelledRecord, partition: int | None = None) -> None:
        """Queue a record; wait while the brokers are away."""
        label, key, value, headers = record
        while True:
            try:
                delivery = await self._producer.send(
                    self._topic, value, key, partition, headers=[*headers, label.header]
                )
            except KafkaError:
                await asyncio.sleep(_RETRY_S)  # nothing was queued
            else:
                delivery.add_done_callback(self._delivered)
                return

    async def publish(self, stream: TestStream) -> bool:
        """Publish a stream as it is spoken; return whether its last record ends it."""
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), False
        for record in record_sequence(self._script, stream, self._stopped.is_set):
            await self._pause(began + record.label.end / WHISPER_RATE - loop.time())
            await self.send(record)
            ended = record.label.kind is RecordKind.END
        return ended

    async def _publish_part(self, stream: TestStream, first: int, last: int | None) -> None:
        """Publish some records of a stream that is to end as soon as it can."""
        for record in islice(record_sequence(self._script, stream, lambda: True), first, last):
            await self.send(record)

    async def _publish_id(self, index: int) -> None:
        rng = random.Random(f"{self._script.seed}/stream/{index}")
        await self._pause(rng.uniform(0, _BEGIN_S))
        stream, ended = _new(f"s{index}-0", rng), True
        while not (ended and self._stopped.is_set()):
            stream = self._begin(_next(stream, rng))
            ended = await self.publish(stream)
            if ended:
                await self._pause(rng.uniform(*_PAUSE_S))

    def _begin(self, planned: TestStream) -> TestStream:
        """Return the stream with its number, as it is published."""
        poisoned, self.poison = self.poison > 0, max(0, self.poison - 1)
        begun = replace(planned, number=next(self._numbers), poisoned=poisoned)
        self.streams[begun.number] = begun
        return begun

    async def _pause(self, seconds: float) -> None:
        """Sleep, until `stop` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopped.wait()

    def _delivered(self, delivery: asyncio.Future[Any]) -> None:
        if delivery.cancelled() or (error := delivery.exception()) is not None:
            self.failures.append("cancelled" if delivery.cancelled() else repr(error))


def _next(stream: TestStream, rng: random.Random) -> TestStream:
    """Return the next stream: on the same id if it has to end this one, else perhaps on another."""
    if stream.closing is Closing.END and rng.random() < _NEW_ID:
        stem, _, number = stream.stream_id.partition("-")
        stream = _new(f"{stem}-{int(number) + 1}", rng)
    channels = 3 - stream.channels if stream.closing is Closing.FORMAT else stream.channels
    other = Closing.FORMAT if stream.headers is OrderHeaders.PLAIN else Closing.RESTART
    closing = rng.choice((Closing.END, Closing.END, other))
    return replace(stream, channels=channels, closing=closing)


def _new(stream_id: str, rng: random.Random) -> TestStream:
    """Return the first stream of an id, without a number."""
    headers, chunk = rng.choice(_HEADERS), rng.choice(CHUNK_SAMPLES)
    return TestStream(0, stream_id, headers, chunk=chunk, fault_rate=_FAULT_RATE)
