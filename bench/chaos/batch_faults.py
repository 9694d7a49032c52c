"""Batches that nobody can read (row 13): refused, let in, damaged on a disk or on the way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from bench.chaos.arena import Arena, NotFired
from bench.chaos.takes import HEADER, Kind, Label
from schemas.errors import Reason
from schemas.topics import topic_specs

_BOMB_BYTES: Final = 16 << 20
_WITHIN_S: Final = 30.0
_SETTLE_S: Final = 1.0  # settings reach the brokers; answers under way reach who asked for them
_POLL_S: Final = 0.1
_IN_A_RECORD: Final = bytes((2 * len(HEADER),)) + HEADER.encode()  # of every one that is published
_GARBLED: Final = "a batch came garbled"


async def bomb(arena: Arena) -> str:
    """Far more than a record may hold in a few kilobytes: the topic's settings refuse it."""
    try:
        await _throw(arena)
    except (MessageSizeTooLargeError, RecordTooLargeError) as error:
        return f"the broker refused it: {type(error).__name__}"
    raise NotFired("the broker took it")


async def bomb_accepted(arena: Arena) -> str:
    """As if the topic had been made by somebody else."""
    async with _taking_batches_as_they_come(arena):
        try:
            partition, offset = await _throw(arena)
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            raise NotFired("the broker refused it") from error
    return await _dead(arena, partition, offset)


async def corrupt_on_disk(arena: Arena) -> str:
    """A batch that no worker has read yet."""
    partition = arena.rng.choice(sorted(arena.book.read))
    told = b"to be damaged %016x" % arena.rng.getrandbits(64)
    with _frozen(arena):
        await asyncio.sleep(_SETTLE_S)
        offset = await _stray(arena, partition, told)
        await _until(lambda: arena.book.read[partition] > offset, "the bench has not read it")
        async with arena.admin() as admin:
            (topic,) = await admin.describe_topics([arena.topics.audio])
        leaders = {each["partition"]: each["leader"] for each in topic["partitions"]}
        arena.kafka.damage(leaders[partition], arena.topics.audio, partition, told)
    return await _dead(arena, partition, offset)


async def corrupt_in_flight(arena: Arena) -> str:
    """Once: read again it is whole, and nothing is lost."""
    serving = [slot for slot in arena.slots if await slot.partitions(arena.topics.audio)]
    if not serving:
        raise NotFired("no worker serves a partition")
    slot = arena.rng.choice(serving)
    size = slot.log_size()
    for proxy in slot.link.proxies:
        proxy.corrupt(_IN_A_RECORD)
    await _until(lambda: _GARBLED in slot.log_since(size), f"{slot.name} has noticed nothing")
    return f"{slot.name} said: {_GARBLED}"


async def _throw(arena: Arena) -> tuple[int, int]:
    """Partition and offset of the bomb. Raises what the broker answers."""
    label = Label(Kind.BAD, note=Reason.BATCH_TOO_LARGE)
    producer = AIOKafkaProducer(
        bootstrap_servers=arena.kafka.bootstrap,
        compression_type="zstd",
        max_batch_size=2 * _BOMB_BYTES,
        max_request_size=2 * _BOMB_BYTES,
    )
    async with producer:
        batch = producer.create_batch()
        headers = [(HEADER, label.encode())]
        batch.append(key=b"bomb", value=bytes(_BOMB_BYTES), timestamp=None, headers=headers)
        partition = arena.rng.choice(sorted(arena.book.read) or [0])
        sent = await (await producer.send_batch(batch, arena.topics.audio, partition=partition))
    return sent.partition, sent.offset


async def _stray(arena: Arena, partition: int, value: bytes) -> int:
    """Its offset."""
    label = Label(Kind.BAD, note=Reason.CORRUPT_BATCH)
    async with AIOKafkaProducer(bootstrap_servers=arena.kafka.bootstrap) as producer:
        sent = await producer.send_and_wait(
            arena.topics.audio,
            value,
            key=b"stray-corrupt",
            partition=partition,
            headers=[(HEADER, label.encode())],
        )
    offset: int = sent.offset
    return offset


async def _dead(arena: Arena, partition: int, offset: int) -> str:
    def letters() -> list[str]:
        dead = arena.book.dead
        return [d.reason for d in dead if (d.partition, d.offset) == (partition, offset)]

    await _until(lambda: bool(letters()), "no worker has met it")
    return f"offset {offset} of partition {partition} is a dead letter: {letters()[0]}"


async def _until(happened: Callable[[], bool], otherwise: str) -> None:
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not happened():  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise NotFired(otherwise) from None


@asynccontextmanager
async def _taking_batches_as_they_come(arena: Arena) -> AsyncIterator[None]:
    await _configure(arena, {"compression.type": "producer"})
    try:
        yield
    finally:
        await _configure(arena, {})


async def _configure(arena: Arena, changes: dict[str, str]) -> None:
    """The audio topic as it must be, but for the changes."""
    spec = topic_specs(arena.topics, len(arena.kafka.nodes))[0]
    right = {name: str(value) for name, value in (*spec.required.items(), *spec.initial.items())}
    resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, right | changes)
    async with arena.admin() as admin:
        answer = await admin.alter_configs([resource])
    if any(code for each in answer for code, *_ in each.resources):
        raise KafkaError("the topic's settings could not be changed")
    await asyncio.sleep(_SETTLE_S)


@contextmanager
def _frozen(arena: Arena) -> Iterator[None]:
    """All workers, so that they read nothing."""
    for slot in arena.slots:
        slot.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for slot in arena.slots:
            slot.signal(signal.SIGCONT)
