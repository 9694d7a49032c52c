"""Batches that cannot be read (row 13): refused, accepted, damaged on a disk or on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from bench.robustness.chaos.broker_faults import workers_stopped
from bench.robustness.chaos.environment import ChaosEnvironment, NotFired
from bench.robustness.chaos.test_streams import HEADER, Label, RecordKind
from bench.robustness.chaos.worker_slots import wait_until
from schemas.errors import Reason
from schemas.topics import topic_specs

_BOMB_BYTES: Final = 16 << 20
_WITHIN_S: Final = 30.0
_SETTLE_S: Final = 1.0  # settings reach the brokers; answers under way reach their clients
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordTooLargeError)
_IN_A_RECORD: Final = bytes((2 * len(HEADER),)) + HEADER.encode()  # of every published record
REREAD: Final = "corrupt batch, reading it again"


async def bomb(env: ChaosEnvironment) -> str:
    """Publish a few kilobytes that unpack to far more than a record may hold."""
    try:
        await _publish_bomb(env)
    except _TOO_LARGE as error:
        return f"the broker refused it: {type(error).__name__}"
    raise NotFired("the broker accepted it")


async def bomb_accepted(env: ChaosEnvironment) -> str:
    """Publish the same to a topic without the settings that refuse it."""
    async with _batches_kept_as_sent(env):
        try:
            partition, offset = await _publish_bomb(env)
        except _TOO_LARGE as error:
            raise NotFired("the broker refused it") from error
    return await _dead_letter(env, partition, offset)


async def corrupt_on_disk(env: ChaosEnvironment) -> str:
    """Damage a batch that no worker has read yet."""
    partition = env.any_partition()
    value = b"to be damaged %016x" % env.rng.getrandbits(64)
    label = Label(RecordKind.BAD, note=Reason.CORRUPT_BATCH)
    with workers_stopped(env):
        await asyncio.sleep(_SETTLE_S)
        offset = await env.publish(env.topics.audio, partition, b"stray-corrupt", value, label)
        if not await wait_until(lambda: env.log.read[partition] > offset, _WITHIN_S):
            raise NotFired("the bench has not read it")
        leaders = await env.leaders(env.topics.audio)
        env.kafka.damage(leaders[partition], env.topics.audio, partition, value)
    return await _dead_letter(env, partition, offset)


async def corrupt_in_flight(env: ChaosEnvironment) -> str:
    """Damage a batch once: it is whole when it is read again, and nothing is lost."""
    serving = [slot for slot in env.slots if await slot.partitions(env.topics.audio)]
    if not serving:
        raise NotFired("no worker serves a partition")
    slot = env.rng.choice(serving)
    size = slot.log_size()
    for proxy in slot.link.proxies:
        proxy.corrupt(_IN_A_RECORD)
    if not await wait_until(lambda: REREAD in slot.log_since(size), _WITHIN_S):
        raise NotFired(f"{slot.name} has reported nothing")
    return f"{slot.name} reported: {REREAD}"


async def _publish_bomb(env: ChaosEnvironment) -> tuple[int, int]:
    """Return partition and offset of the bomb. Raises what the broker answers."""
    label = Label(RecordKind.BAD, note=Reason.BATCH_TOO_LARGE)
    producer = AIOKafkaProducer(
        bootstrap_servers=env.kafka.bootstrap,
        compression_type="zstd",
        max_batch_size=2 * _BOMB_BYTES,
        max_request_size=2 * _BOMB_BYTES,
    )
    async with producer:
        batch = producer.create_batch()
        headers = [(HEADER, label.encode())]
        batch.append(key=b"bomb", value=bytes(_BOMB_BYTES), timestamp=None, headers=headers)
        partition = env.any_partition()
        sent = await (await producer.send_batch(batch, env.topics.audio, partition=partition))
    return sent.partition, sent.offset


async def _dead_letter(env: ChaosEnvironment, partition: int, offset: int) -> str:
    """Wait for the dead letter of a record. Raises `NotFired`."""

    def reasons() -> list[str]:
        letters = env.log.dead_letters
        return [d.reason for d in letters if (d.partition, d.offset) == (partition, offset)]

    if not await wait_until(lambda: bool(reasons()), _WITHIN_S):
        raise NotFired("no worker has dead-lettered it")
    return f"offset {offset} of partition {partition} is a dead letter: {reasons()[0]}"


@asynccontextmanager
async def _batches_kept_as_sent(env: ChaosEnvironment) -> AsyncIterator[None]:
    await _configure(env, {"compression.type": "producer"})
    try:
        yield
    finally:
        await _configure(env, {})


async def _configure(env: ChaosEnvironment, changes: dict[str, str]) -> None:
    """Set the audio topic's settings to the right ones, but for the changes."""
    spec = topic_specs(env.topics, len(env.kafka.nodes))[0]
    right = {name: str(value) for name, value in (*spec.required.items(), *spec.initial.items())}
    resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, right | changes)
    async with env.admin() as admin:
        answer = await admin.alter_configs([resource])
    if any(code for each in answer for code, *_ in each.resources):
        raise KafkaError("the topic's settings could not be changed")
    await asyncio.sleep(_SETTLE_S)
