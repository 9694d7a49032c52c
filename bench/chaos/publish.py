"""Publishers in real time: as many streams as asked for, one take after the other on each."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from itertools import count, islice
from typing import Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bench.chaos.recital import SAFE, Item, recital, strays
from bench.chaos.takes import CHUNKS, Closing, Kind, Plan, Script, Style
from schemas.audio import MAX_HEADER_BYTES, MAX_RECORD_BYTES
from transport.compat import keep_batches

_PATIENCE_S: Final = 3600.0  # for brokers that are away: a record that was sent is never given up
_PAUSE_S: Final = (0.2, 3.0)  # between takes
_BEGIN_S: Final = 5.0  # within which the streams begin
_NEW_ID: Final = 0.5  # probability that a take gets one, where the last has ended
_RETRY_S: Final = 0.1
_FRAMING_BYTES: Final = 8 << 10
_STYLES: Final = (Style.PLAIN, Style.SEQ, Style.SEQ_START, Style.SEQ_START)


class Publishers:
    """Use as an asynchronous context manager; `run` returns when all streams have ended in order.

    What was published is read from the log; here is kept what was meant.
    """

    def __init__(self, bootstrap: str, topic: str, script: Script, mischief: float) -> None:
        self.plans: dict[int, Plan] = {}  # by number of the take
        self.failures: list[str] = []  # records that Kafka refused: the run is worth nothing then
        self.poison = 0  # takes to come that no engine survives
        self._topic = topic
        self._script = script
        self._mischief = mischief
        self._numbers = count(1)
        self._stopped = asyncio.Event()
        self._strays = strays()
        self._crowd: list[Plan] = []
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=10_000,
            max_batch_size=256 << 10,
            max_request_size=MAX_RECORD_BYTES + MAX_HEADER_BYTES + _FRAMING_BYTES,
        )
        keep_batches(self._producer, _PATIENCE_S)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def run(self, streams: int) -> None:
        async with asyncio.TaskGroup() as group:
            for index in range(streams):
                group.create_task(self._stream(index), name=f"stream-{index}")
        await self._end_crowd()
        await self.flush()

    async def flush(self) -> None:
        """Return when Kafka has all that was sent."""
        await self._producer.flush()

    def stop(self) -> None:
        self._stopped.set()

    async def vandalise(self, records: int) -> None:
        """Records that no stream can have, all over the partitions."""
        partitions = sorted(await self._producer.partitions_for(self._topic))
        for _ in range(records):
            stray = next(self._strays)
            where = random.choice(partitions)
            await self.send(stray.key, stray.value, stray.headers, partition=where)

    async def crowd(self, streams: int) -> None:
        """So many streams of a few records; they end with the run."""
        for _ in range(streams):
            name = f"crowd-{len(self._crowd)}"
            plan = self._begin(Plan(0, name, Style.SEQ, Closing.END, channels=1, chunk=CHUNKS[0]))
            self._crowd.append(plan)
            for item in islice(recital(self._script, plan, lambda: True), SAFE):
                await self._say(item)

    async def _end_crowd(self) -> None:
        for plan in self._crowd:
            for item in islice(recital(self._script, plan, lambda: True), SAFE, None):
                await self._say(item)

    async def _stream(self, index: int) -> None:
        rng = random.Random(f"{self._script.seed}/stream/{index}")
        await self._rest(rng.uniform(0, _BEGIN_S))
        plan, ended = _first(index, rng, self._mischief), True
        while not (ended and self._stopped.is_set()):
            plan = self._begin(_next(plan, rng))
            ended = await self._recite(plan)
            if ended:
                await self._rest(rng.uniform(*_PAUSE_S))

    def _begin(self, plan: Plan) -> Plan:
        """The plan as it will be said."""
        poisoned, self.poison = self.poison > 0, max(0, self.poison - 1)
        begun = replace(plan, number=next(self._numbers), poisoned=poisoned)
        self.plans[begun.number] = begun
        return begun

    async def _recite(self, plan: Plan) -> bool:
        """Whether its last record said that the stream ends."""
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), False
        for item in recital(self._script, plan, self._stopped.is_set):
            await self._rest(began + item.at_s - loop.time())
            await self._say(item)
            ended = item.label.kind is Kind.END
        return ended

    async def _rest(self, seconds: float) -> None:
        """Shorter when it is time to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopped.wait()

    async def _say(self, item: Item) -> None:
        await self.send(*item.record)

    async def send(
        self,
        key: bytes | None,
        value: bytes,
        headers: list[tuple[str, bytes]],
        partition: int | None = None,
    ) -> None:
        """Waits while the brokers are away."""
        while True:
            try:
                delivery = await self._producer.send(
                    self._topic, key=key, value=value, headers=headers, partition=partition
                )
            except KafkaError:
                await asyncio.sleep(_RETRY_S)  # nothing was queued
            else:
                delivery.add_done_callback(self._delivered)
                return

    def _delivered(self, delivery: asyncio.Future[Any]) -> None:
        if delivery.cancelled() or (error := delivery.exception()) is not None:
            self.failures.append("cancelled" if delivery.cancelled() else repr(error))


def _first(index: int, rng: random.Random, mischief: float) -> Plan:
    """What the plans of a stream follow from."""
    style, chunk = rng.choice(_STYLES), rng.choice(CHUNKS)
    return Plan(0, f"s{index}-0", style, Closing.END, 1, chunk, mischief)


def _next(plan: Plan, rng: random.Random) -> Plan:
    """On the same id where the last take is to be ended by this one, else perhaps on a new one."""
    if plan.closing is Closing.END and rng.random() < _NEW_ID:
        stem, _, number = plan.stream_id.partition("-")
        plan = replace(
            plan,
            stream_id=f"{stem}-{int(number) + 1}",
            style=rng.choice(_STYLES),
            chunk=rng.choice(CHUNKS),
            channels=1,
        )
    channels = 3 - plan.channels if plan.closing is Closing.FORMAT else plan.channels
    other = Closing.FORMAT if plan.style is Style.PLAIN else Closing.RESTART
    return replace(plan, channels=channels, closing=rng.choice((Closing.END, Closing.END, other)))
