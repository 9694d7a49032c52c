"""The faults: each does its worst, then says by what it is known that it happened.

Rows are those of the fault matrix (docs/guarantees.md). A fault may leave things broken: the arena
heals them afterwards.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from bench.chaos.arena import GROUP, Arena, Kill, NotFired
from bench.chaos.commit_points import Point
from bench.chaos.oracle import DEVICE_ASSERT
from bench.chaos.slots import Slot
from devstack.proxy import Way

Run = Callable[[Arena], Awaitable[str]]  # returns the proof; raises NotFired

END_TXN: Final = 26  # Kafka's number of the request
_ARMED_S: Final = 40.0  # within which a commit is sure to come
_DRAIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    row: int  # of the matrix
    run: Run
    brokers: int = 1  # at least


# --- row 1: workers that are killed


async def kill(arena: Arena) -> str:
    slot = arena.slot
    return await _killed(arena, slot, lambda: slot.signal(signal.SIGKILL))


async def kill_at(arena: Arena, point: Point) -> str:
    """At the next commit, or while it restores what another one leaves behind."""
    slot = arena.slot
    partitions, size = await slot.partitions(arena.topics.audio), slot.log_size()
    after = len(slot.exits)
    await slot.arm(point)
    if point is Point.RESTORING:
        other = arena.rng.choice([each for each in arena.slots if each is not slot])
        await _killed(arena, other, lambda: other.signal(signal.SIGKILL))
    ended = await arena.exit_of(slot, after, _ARMED_S, -signal.SIGKILL)
    if (proof := f"killed at {point}") not in slot.log_since(size):
        raise NotFired(f"{slot.name} was killed elsewhere")
    arena.kills.append(Kill(ended.at_s, partitions))
    return f"{slot.name} {proof}"


async def _killed(arena: Arena, slot: Slot, kill_it: Callable[[], None]) -> str:
    partitions, after = await slot.partitions(arena.topics.audio), len(slot.exits)
    kill_it()
    ended = await arena.exit_of(slot, after, _DRAIN_S, -signal.SIGKILL)
    arena.kills.append(Kill(ended.at_s, partitions))
    return f"{slot.name} ended by SIGKILL, it served {len(partitions)} partitions"


# --- rows 2, 3, 9, 10, 22: workers that stop, freeze, hang


async def terminate(arena: Arena) -> str:
    slot = arena.slot
    after = len(slot.exits)
    slot.signal(signal.SIGTERM)
    await arena.exit_of(slot, after, _DRAIN_S, 0)
    return f"{slot.name} drained and ended with 0"


async def terminate_stuck(arena: Arena) -> str:
    slot = arena.slot
    after = len(slot.exits)
    await slot.order("hang 1")
    slot.signal(signal.SIGTERM)
    await arena.exit_of(slot, after, _DRAIN_S + arena.hang_s, 1)
    return f"{slot.name} could not drain and ended with 1"


async def rolling(arena: Arena) -> str:
    """Every worker restarted in its turn."""
    for slot in arena.slots:
        after = len(slot.exits)
        slot.signal(signal.SIGTERM)
        await arena.exit_of(slot, after, _DRAIN_S, 0)
        await slot.ready()
        await asyncio.sleep(3)
    return f"{len(arena.slots)} workers drained one by one"


async def freeze(arena: Arena) -> str:
    slot = arena.slot
    mine = await slot.partitions(arena.topics.audio)
    slot.signal(signal.SIGSTOP)
    await asyncio.sleep(30)
    others = [s for s in arena.slots if s is not slot]
    theirs = await asyncio.gather(*(s.partitions(arena.topics.audio) for s in others))
    slot.signal(signal.SIGCONT)
    taken = mine & frozenset().union(*theirs)
    if mine and not taken:
        raise NotFired(f"nobody took over from {slot.name} while it stood still")
    return f"{slot.name} stood still for 30 s, others served {len(taken)} of its partitions"


async def block(arena: Arena) -> str:
    slot, size = arena.slot, arena.slot.log_size()
    await slot.order("block 15")
    await asyncio.sleep(16)
    return f"{slot.name}'s event loop stood still for 15 s ({slot.log_size() - size} bytes logged)"


async def slow_engine(arena: Arena) -> str:
    slot = arena.slot
    await slot.order("slow 10")
    await asyncio.sleep(20)
    await slot.order("slow 1")
    return f"{slot.name}'s engine was ten times slower for 20 s"


async def hung_engine(arena: Arena) -> str:
    slot = arena.slot
    after = len(slot.exits)
    await slot.order("hang 1")
    await arena.exit_of(slot, after, 2 * arena.hang_s + _DRAIN_S, 1)
    return f"{slot.name} gave up its engine and ended with 1"


async def small_memory(arena: Arena) -> str:
    slot = arena.slot
    await slot.order("rows 1")
    await asyncio.sleep(15)
    await slot.order("rows 0")
    return f"{slot.name}'s engine held one row for 15 s"


async def poison(arena: Arena) -> str:
    """One utterance that ends every worker that decodes it."""
    ended = [len(slot.exits) for slot in arena.slots]
    arena.publishers.poison += 1
    await asyncio.sleep(90)
    codes = [e.code for s, n in zip(arena.slots, ended, strict=True) for e in s.exits[n:]]
    if not (deaths := codes.count(DEVICE_ASSERT)):
        raise NotFired("no worker heard it")
    return f"{deaths} workers died of it"


# --- rows 4, 5, 6: brokers


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
    node = arena.node
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


# --- rows 7, 8: networks


async def cut_off(arena: Arena, *ways: Way) -> str:
    slot = arena.slot
    for proxy in slot.link.proxies:
        proxy.hold(*ways)
    await asyncio.sleep(20)
    slot.link.heal()
    return f"nothing passed {' and '.join(ways)} between {slot.name} and the brokers for 20 s"


async def cut_off_one(arena: Arena) -> str:
    slot = arena.slot
    proxy = arena.rng.choice(slot.link.proxies)
    proxy.hold()
    await asyncio.sleep(20)
    proxy.heal()
    return f"nothing passed between {slot.name} and one broker for 20 s"


async def refuse(arena: Arena) -> str:
    slot = arena.slot
    before = slot.link.resets
    for proxy in slot.link.proxies:
        proxy.refuse()
    await asyncio.sleep(15)
    slot.link.heal()
    return f"{slot.link.resets - before} connections of {slot.name} were refused or reset"


async def reset_at_end(arena: Arena, *, passed: bool) -> str:
    """A connection is reset in the middle of EndTxn, before or after the broker has it."""
    slot = arena.slot
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
    slot = arena.slot
    for proxy in slot.link.proxies:
        proxy.delay_s = 0.2
    await asyncio.sleep(20)
    slot.link.heal()
    return f"all between {slot.name} and the brokers took 200 ms each way for 20 s"


# --- rows 11, 13, 18, 19, 20: what is in Kafka


async def bad_records(arena: Arena) -> str:
    await arena.publishers.vandalise(14)
    return "14 records that no stream can have"


async def bomb(arena: Arena) -> str:
    """A batch of 64 MiB in a few kilobytes, which the topic's settings make the broker refuse."""
    producer = AIOKafkaProducer(
        bootstrap_servers=arena.kafka.bootstrap,
        compression_type="gzip",
        max_batch_size=80 << 20,
        max_request_size=80 << 20,
    )
    async with producer:
        batch = producer.create_batch()
        while len(batch._builder._builder._buffer) < 64 << 20:  # noqa: SLF001 - before it is packed
            batch.append(key=b"bomb", value=bytes(1 << 20), timestamp=None)
        try:
            await (await producer.send_batch(batch, arena.topics.audio, partition=0))
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            return f"the broker refused it: {type(error).__name__}"
    raise NotFired("the broker took it")


async def lose_audio(arena: Arena) -> str:
    """Audio that is deleted while nobody reads: lag beyond retention."""
    for slot in arena.slots:
        slot.signal(signal.SIGSTOP)
    await asyncio.sleep(25)
    partition = arena.rng.choice(sorted(arena.book.read))
    tp = TopicPartition(arena.topics.audio, partition)
    upto = arena.book.read[partition] - 5
    async with arena.admin() as admin:
        low = (await admin.delete_records({tp: RecordsToDelete(upto)}))[tp]
    for slot in arena.slots:
        slot.signal(signal.SIGCONT)
    return f"partition {partition} begins at {low} now"


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
        epoch = producer._txn_manager.producer_epoch  # noqa: SLF001
    return f"{name} was taken, its epoch is {epoch} now"


# --- row 17: the group


async def storm(arena: Arena) -> str:
    """Somebody joins and leaves the group every few seconds."""
    seconds = 300 if arena.long else 30
    joined = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        joined += await _visit(arena)
    if not joined:
        raise NotFired("nobody could join")
    return f"somebody joined and left {joined} times in {seconds} s"


async def _visit(arena: Arena) -> bool:
    guest = AIOKafkaConsumer(
        bootstrap_servers=arena.kafka.bootstrap,
        group_id=GROUP,
        enable_auto_commit=False,
        auto_offset_reset="none",
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=10_000,
    )
    guest.subscribe([arena.topics.audio, arena.topics.audio_bulk])
    try:
        async with asyncio.timeout(15):
            await guest.start()
    except (KafkaError, TimeoutError):
        return False
    finally:
        await asyncio.sleep(1.5)
        await guest.stop()
    return True


FAULTS: Final = {
    fault.name: fault
    for fault in (
        Fault("kill", 1, kill),
        *(Fault(f"kill-{point}", 1, partial(kill_at, point=point)) for point in Point),
        Fault("terminate", 2, terminate),
        Fault("terminate-stuck", 2, terminate_stuck),
        Fault("freeze", 3, freeze),
        Fault("kill-leader", 4, kill_leader),
        Fault("kill-group-coordinator", 4, kill_group_coordinator),
        Fault("kill-transaction-coordinator", 4, kill_transaction_coordinator),
        Fault("pause-broker-15", 5, partial(pause_broker, seconds=15)),
        Fault("pause-broker-45", 5, partial(pause_broker, seconds=45)),
        Fault("two-brokers-down", 6, partial(lose_brokers, count=2), brokers=3),
        Fault("all-brokers-down", 6, partial(lose_brokers, count=3)),
        Fault("cut-off", 7, lambda arena: cut_off(arena, *Way)),
        Fault("cut-off-up", 7, lambda arena: cut_off(arena, Way.UP)),
        Fault("cut-off-down", 7, lambda arena: cut_off(arena, Way.DOWN)),
        Fault("cut-off-one-broker", 7, cut_off_one, brokers=3),
        Fault("refuse", 7, refuse),
        Fault("reset-before-end", 7, partial(reset_at_end, passed=False)),
        Fault("reset-behind-end", 7, partial(reset_at_end, passed=True)),
        Fault("slow-network", 8, slow_network),
        Fault("slow-engine", 9, slow_engine),
        Fault("hung-engine", 9, hung_engine),
        Fault("small-memory", 10, small_memory),
        Fault("poison", 10, poison),
        Fault("bad-records", 11, bad_records),
        Fault("bomb", 13, bomb),
        Fault("storm", 17, storm),
        Fault("lose-audio", 18, lose_audio),
        Fault("crowd", 19, crowd),
        Fault("impostor", 20, impostor),
        Fault("block", 22, block),
        Fault("rolling", 2, rolling),
    )
}
