"""What a log may hold: bad and many records (rows 11, 19), less than was published (18), batches
that cannot be read (13); and a transactional id in other hands (20).
"""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from bench.robustness.chaos.environment import ChaosEnvironment
from bench.robustness.chaos.evidence import DeletedRange
from bench.robustness.chaos.process_slots import NotFired, wait_until
from bench.robustness.chaos.test_streams import HEADER, Label, RecordKind
from schemas.errors import Reason
from schemas.topics import topic_specs
from transport.compat import producer_epoch

REREAD: Final = "corrupt batch, reading it again"
_BOMB_BYTES: Final = 16 << 20
_WITHIN_S: Final = 30.0
_SETTLE_S: Final = 1.0  # settings reach the brokers; answers under way reach their clients
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordTooLargeError)
_IN_A_RECORD: Final = bytes((2 * len(HEADER),)) + HEADER.encode()  # of every published record


# --- records


async def bad_records(env: ChaosEnvironment) -> str:
    await env.publishers.publish_invalid(14)
    return "14 records that no stream can have"


async def crowd(env: ChaosEnvironment) -> str:
    count = 10_000 if env.scenario.long else 200
    await env.publishers.publish_short(count)
    return f"{count} streams of few records"


async def lose_audio(env: ChaosEnvironment) -> str:
    """Delete audio while no worker reads: lag beyond retention."""
    partition = env.any_partition()
    _signal_workers(env, signal.SIGSTOP)
    await asyncio.sleep(25)
    before = env.log.read[partition] - 5
    next_offset = (await env.progress())[partition].next_offset or 0
    tp = TopicPartition(env.topics.audio, partition)
    async with env.admin() as admin:
        low = (await admin.delete_records({tp: RecordsToDelete(before)}))[tp]
    env.deleted.append(DeletedRange(partition, next_offset, low - 1))
    if low <= next_offset:
        raise NotFired(f"all up to {low} had been read")
    return f"partition {partition} begins at {low} now, {next_offset} was read"


def _signal_workers(env: ChaosEnvironment, number: signal.Signals) -> None:
    for slot in env.slots:
        slot.signal(number)


async def impostor(env: ChaosEnvironment) -> str:
    """Open another producer with a worker's transactional id."""
    name = env.any_transactional_id()
    producer = AIOKafkaProducer(bootstrap_servers=env.kafka.bootstrap, transactional_id=name)
    async with producer:
        epoch = producer_epoch(producer)
    return f"{name} was taken, its epoch is {epoch} now"


# --- batches


async def bomb(env: ChaosEnvironment) -> str:
    """Publish a few kilobytes that unpack to far more than a record may hold."""
    try:
        await _publish_bomb(env)
    except _TOO_LARGE as error:
        return f"the broker refused it: {type(error).__name__}"
    raise NotFired("the broker accepted it")


async def bomb_accepted(env: ChaosEnvironment) -> str:
    """Publish the same to a topic without the settings that refuse it."""
    await _configure(env, {"compression.type": "producer"})
    try:
        partition, offset = await _publish_bomb(env)
    except _TOO_LARGE as error:
        raise NotFired("the broker refused it") from error
    finally:
        await _configure(env, {})
    return await _dead_letter(env, partition, offset)


async def corrupt_on_disk(env: ChaosEnvironment) -> str:
    """Damage a batch that no worker has read yet."""
    topic, partition = env.topics.audio, env.any_partition()
    value = b"to be damaged %016x" % env.rng.getrandbits(64)
    label = Label(RecordKind.BAD, note=Reason.CORRUPT_BATCH)
    _signal_workers(env, signal.SIGSTOP)
    await asyncio.sleep(_SETTLE_S)
    offset = await env.publish(topic, partition, b"stray-corrupt", value, label.header)
    if not await wait_until(lambda: env.log.read[partition] > offset, _WITHIN_S):
        raise NotFired("the bench has not read it")
    env.kafka.damage(await env.leader(topic, partition), topic, partition, value)
    _signal_workers(env, signal.SIGCONT)
    return await _dead_letter(env, partition, offset)


async def corrupt_in_flight(env: ChaosEnvironment) -> str:
    """Damage a batch once: it is whole when it is read again, and nothing is lost."""
    serving = [slot for slot in env.slots if await slot.partitions()]
    if not serving:
        raise NotFired("no worker serves a partition")
    slot = env.rng.choice(serving)
    for proxy in slot.link.proxies:
        proxy.corrupt(_IN_A_RECORD)
    return await slot.logged(REREAD, _WITHIN_S)


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
        sent = await producer.send_and_wait(
            env.topics.audio,
            bytes(_BOMB_BYTES),
            b"bomb",
            env.any_partition(),
            headers=[label.header],
        )
    return sent.partition, sent.offset


async def _dead_letter(env: ChaosEnvironment, partition: int, offset: int) -> str:
    """Wait for the dead letter of a record. Raises `NotFired`."""

    def reasons() -> list[str]:
        return [d.reason for d in env.log.dead_letters if d.place == (partition, offset)]

    if not await wait_until(lambda: bool(reasons()), _WITHIN_S):
        raise NotFired("no worker has dead-lettered it")
    return f"offset {offset} of partition {partition} is a dead letter: {reasons()[0]}"


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
