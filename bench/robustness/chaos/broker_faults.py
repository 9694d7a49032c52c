"""Brokers that fail (rows 4-6), networks that fail (7, 8), and what a log may hold (11, 18-20)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from bench.robustness.chaos.environment import ChaosEnvironment, NotFired
from bench.robustness.chaos.evidence import DeletedRange
from bench.robustness.chaos.worker_slots import WorkerSlot, wait_until
from consumer.core.streams.records import Partition
from consumer.kafka.transaction import transactional_id
from devstack.proxy import Direction, Proxy
from transport.compat import producer_epoch

END_TXN: Final = 26  # Kafka's number of the request
_ARMED_S: Final = 40.0  # within which a commit is sure to be made


# --- brokers


async def kill_leader(env: ChaosEnvironment) -> str:
    partition = env.any_partition()
    leaders = await env.leaders(env.topics.transcripts)
    return await _kill_broker(env, leaders[partition], f"leader of transcripts {partition}")


async def kill_group_coordinator(env: ChaosEnvironment) -> str:
    async with env.admin() as admin:
        node = await admin.find_coordinator(env.group)
    return await _kill_broker(env, node, "group coordinator")


async def kill_transaction_coordinator(env: ChaosEnvironment) -> str:
    name = _any_transactional_id(env)
    async with env.admin() as admin:
        node = await admin.find_coordinator(name, 1)
    return await _kill_broker(env, node, f"coordinator of {name}")


async def _kill_broker(env: ChaosEnvironment, node: int, role: str) -> str:
    env.kafka.kill(node)
    codes = env.kafka.exit_codes()
    await asyncio.sleep(env.rng.uniform(2, 10))
    await env.kafka.restart(node)
    return f"broker {node}, {role}, ended with {codes[node]}"


async def pause_broker(env: ChaosEnvironment, seconds: float) -> str:
    node = env.rng.choice(env.kafka.nodes)
    env.kafka.pause(node)
    await asyncio.sleep(seconds)
    env.kafka.resume(node)
    return f"broker {node} was stopped for {seconds:.0f} s"


async def lose_brokers(env: ChaosEnvironment, count: int) -> str:
    nodes = env.rng.sample(env.kafka.nodes, min(count, len(env.kafka.nodes)))
    for node in nodes:
        env.kafka.kill(node)
    codes, exits = env.kafka.exit_codes(), _exits(env)
    seconds = 300 if env.long else 20
    await asyncio.sleep(seconds)
    ended = _exits(env) - exits
    await env.kafka.restart(*nodes)
    return f"brokers {codes} were away for {seconds} s; workers ended meanwhile: {ended}"


def _exits(env: ChaosEnvironment) -> int:
    return sum(len(slot.exits) for slot in env.slots)


# --- networks


async def cut_off(env: ChaosEnvironment, *directions: Direction) -> str:
    slot = env.any_slot()
    await _disturb(slot, 20, lambda proxy: proxy.hold(*directions))
    return f"nothing passed {' and '.join(directions)} between {slot.name} and the brokers for 20 s"


async def cut_off_one(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    cut = env.rng.choice(slot.link.proxies)
    await _disturb(slot, 20, lambda proxy: proxy.hold() if proxy is cut else None)
    return f"nothing passed between {slot.name} and one broker for 20 s"


async def refuse(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    before = slot.link.resets
    await _disturb(slot, 15, Proxy.refuse)
    return f"{slot.link.resets - before} connections of {slot.name} were refused or reset"


async def slow_network(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    await _disturb(slot, 20, lambda proxy: setattr(proxy, "delay_s", 0.2))
    return f"all between {slot.name} and the brokers took 200 ms each way for 20 s"


async def _disturb(slot: WorkerSlot, seconds: float, disturb: Callable[[Proxy], None]) -> None:
    """Disturb a worker's links to the brokers for a while."""
    for proxy in slot.link.proxies:
        disturb(proxy)
    await asyncio.sleep(seconds)
    slot.link.heal()


async def reset_at_end(env: ChaosEnvironment, *, passed: bool) -> str:
    """Reset a connection in the middle of EndTxn, before or after the broker has it."""
    slot = env.any_slot()
    for proxy in slot.link.proxies:
        proxy.reset_at(END_TXN, passed=passed)
    if not await wait_until(lambda: not all(p.is_armed for p in slot.link.proxies), _ARMED_S):
        raise NotFired(f"{slot.name} has committed nothing")
    slot.link.heal()
    return f"{slot.name}'s connection was reset {'after' if passed else 'before'} EndTxn"


# --- the log


async def bad_records(env: ChaosEnvironment) -> str:
    await env.publishers.publish_invalid(14)
    return "14 records that no stream can have"


async def lose_audio(env: ChaosEnvironment) -> str:
    """Delete audio while no worker reads: lag beyond retention."""
    partition = env.any_partition()
    with workers_stopped(env):
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


@contextmanager
def workers_stopped(env: ChaosEnvironment) -> Iterator[None]:
    """Stop all workers meanwhile, so that they read nothing."""
    for slot in env.slots:
        slot.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for slot in env.slots:
            slot.signal(signal.SIGCONT)


async def crowd(env: ChaosEnvironment) -> str:
    count = 10_000 if env.long else 200
    await env.publishers.publish_short(count)
    return f"{count} streams of few records"


async def impostor(env: ChaosEnvironment) -> str:
    """Open another producer with a worker's transactional id."""
    name = _any_transactional_id(env)
    producer = AIOKafkaProducer(bootstrap_servers=env.kafka.bootstrap, transactional_id=name)
    async with producer:
        epoch = producer_epoch(producer)
    return f"{name} was taken, its epoch is {epoch} now"


def _any_transactional_id(env: ChaosEnvironment) -> str:
    return transactional_id(env.group, Partition(env.topics.audio, env.any_partition()))
