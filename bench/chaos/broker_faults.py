"""Brokers that go (rows 4-6), networks that fail (7, 8), and what may be found in Kafka (11-20)."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from bench.chaos.arena import GROUP, Arena, NotFired
from bench.chaos.evidence import Deleted
from bench.chaos.standings import standings
from devstack.proxy import Direction
from transport.compat import producer_epoch

END_TXN: Final = 26  # Kafka's number of the request
_ARMED_S: Final = 40.0  # within which a commit is sure to come


async def kill_leader(arena: Arena) -> str:
    partition = arena.rng.randrange(len(arena.book.read) or 1)
    async with arena.admin() as admin:
        (topic,) = await admin.describe_topics([arena.topics.transcripts])
    leaders = {each["partition"]: each["leader"] for each in topic["partitions"]}
    return await _kill_broker(arena, leaders[partition], f"leader of transcripts {partition}")


async def kill_group_coordinator(arena: Arena) -> str:
    async with arena.admin() as admin:
        node = await admin.find_coordinator(GROUP)
    return await _kill_broker(arena, node, "group coordinator")


async def kill_transaction_coordinator(arena: Arena) -> str:
    partition = arena.rng.choice(sorted(arena.book.read) or [0])
    async with arena.admin() as admin:
        name = f"stt.{GROUP}.{arena.topics.audio}.{partition}"
        node = await admin.find_coordinator(name, 1)
    return await _kill_broker(arena, node, f"transaction coordinator of partition {partition}")


async def _kill_broker(arena: Arena, node: int, what: str) -> str:
    arena.kafka.kill(node)
    codes = arena.kafka.exit_codes()
    await asyncio.sleep(arena.rng.uniform(2, 10))
    await arena.kafka.restart(node)
    return f"broker {node}, {what}, ended with {codes[node]}"


async def pause_broker(arena: Arena, seconds: float) -> str:
    node = arena.any_node()
    arena.kafka.pause(node)
    await asyncio.sleep(seconds)
    arena.kafka.resume(node)
    return f"broker {node} stood still for {seconds:.0f} s"


async def lose_brokers(arena: Arena, count: int) -> str:
    nodes = arena.rng.sample(arena.kafka.nodes, min(count, len(arena.kafka.nodes)))
    for node in nodes:
        arena.kafka.kill(node)
    codes = arena.kafka.exit_codes()
    running = sum(len(slot.exits) for slot in arena.slots)
    seconds = 300 if arena.long else 20
    await asyncio.sleep(seconds)
    exits = sum(len(slot.exits) for slot in arena.slots) - running
    await arena.kafka.restart(*nodes)
    return f"brokers {codes} were away for {seconds} s; workers ended meanwhile: {exits}"


async def cut_off(arena: Arena, *ways: Direction) -> str:
    slot = arena.any_slot()
    for proxy in slot.link.proxies:
        proxy.hold(*ways)
    await asyncio.sleep(20)
    slot.link.heal()
    return f"nothing passed {' and '.join(ways)} between {slot.name} and the brokers for 20 s"


async def cut_off_one(arena: Arena) -> str:
    slot = arena.any_slot()
    proxy = arena.rng.choice(slot.link.proxies)
    proxy.hold()
    await asyncio.sleep(20)
    proxy.heal()
    return f"nothing passed between {slot.name} and one broker for 20 s"


async def refuse(arena: Arena) -> str:
    slot = arena.any_slot()
    before = slot.link.resets
    for proxy in slot.link.proxies:
        proxy.refuse()
    await asyncio.sleep(15)
    slot.link.heal()
    return f"{slot.link.resets - before} connections of {slot.name} were refused or reset"


async def reset_at_end(arena: Arena, *, passed: bool) -> str:
    """A connection is reset in the middle of EndTxn, before or after the broker has it."""
    slot = arena.any_slot()
    for proxy in slot.link.proxies:
        proxy.reset_at(END_TXN, passed=passed)
    try:
        async with asyncio.timeout(_ARMED_S):
            while all(p.is_armed for p in slot.link.proxies):  # noqa: ASYNC110 - any of several
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise NotFired(f"{slot.name} has committed nothing") from None
    slot.link.heal()
    return f"{slot.name}'s connection was reset {'behind' if passed else 'before'} EndTxn"


async def slow_network(arena: Arena) -> str:
    slot = arena.any_slot()
    for proxy in slot.link.proxies:
        proxy.delay_s = 0.2
    await asyncio.sleep(20)
    slot.link.heal()
    return f"all between {slot.name} and the brokers took 200 ms each way for 20 s"


async def bad_records(arena: Arena) -> str:
    await arena.publishers.vandalise(14)
    return "14 records that no stream can have"


async def lose_audio(arena: Arena) -> str:
    """Audio that is deleted while nobody reads: lag beyond retention."""
    for slot in arena.slots:
        slot.signal(signal.SIGSTOP)
    await asyncio.sleep(25)
    partition = arena.rng.choice(sorted(arena.book.read))
    tp = TopicPartition(arena.topics.audio, partition)
    upto = arena.book.read[partition] - 5
    done = (await standings(arena))[partition].next_offset or 0
    async with arena.admin() as admin:
        low = (await admin.delete_records({tp: RecordsToDelete(upto)}))[tp]
    arena.deleted.append(Deleted(partition, done, low - 1))
    for slot in arena.slots:
        slot.signal(signal.SIGCONT)
    if low <= done:
        raise NotFired(f"all up to {low} had been read")
    return f"partition {partition} begins at {low} now, {done} was read"


async def crowd(arena: Arena) -> str:
    count = 10_000 if arena.long else 200
    await arena.publishers.crowd(count)
    return f"{count} streams that say little"


async def impostor(arena: Arena) -> str:
    """Somebody else with a worker's transactional id."""
    partition = arena.rng.choice(sorted(arena.book.read) or [0])
    name = f"stt.{GROUP}.{arena.topics.audio}.{partition}"
    producer = AIOKafkaProducer(bootstrap_servers=arena.kafka.bootstrap, transactional_id=name)
    async with producer:
        epoch = producer_epoch(producer)
    return f"{name} was taken, its epoch is {epoch} now"
