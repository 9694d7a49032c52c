"""Workers that are killed, frozen, stopped, hung (rows 1-3, 9, 10, 22), and their group (17)."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from bench.chaos.arena import GROUP, Arena, Kill, NotFired
from bench.chaos.commit_points import Point
from bench.chaos.oracle import DEVICE_ASSERT
from bench.chaos.slots import Slot
from schemas.transcript import UtteranceFailed

_ARMED_S: Final = 40.0  # within which a commit is sure to come
_DRAIN_S: Final = 20.0
_STUCK_S: Final = 6.0  # within which somebody speaks


async def kill(arena: Arena) -> str:
    slot = arena.any_slot()
    return await _killed(arena, slot)


async def kill_at(arena: Arena, point: Point) -> str:
    """At the next commit, or while it restores what another one leaves behind."""
    slot = arena.any_slot()
    partitions, size = await slot.partitions(arena.topics.audio), slot.log_size()
    after = len(slot.exits)
    await slot.arm(point)
    if point is Point.RESTORING:  # a takeover counts from here on, for who takes over dies too
        other = arena.rng.choice([each for each in arena.slots if each is not slot])
        partitions |= (await _kill(arena, other)).partitions
    ended = await arena.exit_of(slot, after, _ARMED_S, -signal.SIGKILL)
    if (proof := f"killed at {point}") not in slot.log_since(size):
        raise NotFired(f"{slot.name} was killed elsewhere")
    arena.kills.append(Kill(ended.at_s, partitions))
    return f"{slot.name} {proof}"


async def kill_hung(arena: Arena) -> str:
    """While its engine hangs: what was read behind that has no text yet."""
    slot = arena.any_slot()
    await slot.order("hang 1")
    await asyncio.sleep(_STUCK_S)
    return await _killed(arena, slot)


async def _killed(arena: Arena, slot: Slot) -> str:
    killed = await _kill(arena, slot)
    arena.kills.append(killed)
    return f"{slot.name} ended by SIGKILL, it served {len(killed.partitions)} partitions"


async def _kill(arena: Arena, slot: Slot) -> Kill:
    partitions, after = await slot.partitions(arena.topics.audio), len(slot.exits)
    slot.signal(signal.SIGKILL)
    ended = await arena.exit_of(slot, after, _DRAIN_S, -signal.SIGKILL)
    return Kill(ended.at_s, partitions)


async def terminate(arena: Arena) -> str:
    slot = arena.any_slot()
    after = len(slot.exits)
    slot.signal(signal.SIGTERM)
    await arena.exit_of(slot, after, _DRAIN_S, 0)
    return f"{slot.name} drained and ended with 0"


async def terminate_stuck(arena: Arena) -> str:
    slot = arena.any_slot()
    after = len(slot.exits)
    await slot.order("hang 1")
    await asyncio.sleep(_STUCK_S)
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
    slot = arena.any_slot()
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
    slot = arena.any_slot()
    size = slot.log_size()
    await slot.order("block 15")
    await asyncio.sleep(17)
    if (alarm := "event loop was blocked") not in slot.log_since(size):
        raise NotFired(f"{slot.name} did not notice")
    return f"{slot.name} stood still for 15 s and said: {alarm}"


async def slow_engine(arena: Arena) -> str:
    slot = arena.any_slot()
    await slot.order("slow 10")
    await asyncio.sleep(20)
    await slot.order("slow 1")
    return f"{slot.name}'s engine was ten times slower for 20 s"


async def hung_engine(arena: Arena) -> str:
    slot = arena.any_slot()
    after = len(slot.exits)
    await slot.order("hang 1")
    await arena.exit_of(slot, after, 2 * arena.hang_s + _DRAIN_S, 1)
    return f"{slot.name} gave up its engine and ended with 1"


async def small_memory(arena: Arena) -> str:
    slot = arena.any_slot()
    await slot.order("rows 1")
    await asyncio.sleep(15)
    await slot.order("rows 0")
    return f"{slot.name}'s engine held one row for 15 s"


async def poison(arena: Arena) -> str:
    """One utterance that ends every worker that decodes it."""
    ended, before = [len(slot.exits) for slot in arena.slots], _failed(arena)
    arena.publishers.poison += 1
    with suppress(TimeoutError):
        async with asyncio.timeout(90):
            while _failed(arena) == before:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.5)
    codes = [e.code for s, n in zip(arena.slots, ended, strict=True) for e in s.exits[n:]]
    if not (deaths := codes.count(DEVICE_ASSERT)):
        raise NotFired("no worker heard it")
    return f"{deaths} workers died of it"


def _failed(arena: Arena) -> int:
    return sum(isinstance(each.event, UtteranceFailed) for each in arena.book.seen)


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
