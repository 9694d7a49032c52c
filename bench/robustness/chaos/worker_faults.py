"""Workers that are killed, frozen, stopped, hung (rows 1-3, 9, 10, 22), and their group (17)."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from bench.robustness.chaos.commit_traps import CommitPoint
from bench.robustness.chaos.environment import (
    ENGINE_TIMEOUT_S,
    ChaosEnvironment,
    Kill,
    NotFired,
)
from bench.robustness.chaos.oracle import DEVICE_ASSERT
from bench.robustness.chaos.worker_slots import WorkerSlot, wait_until
from schemas.transcript import UtteranceFailed

_ARMED_S: Final = 40.0  # within which a commit is sure to be made
_DRAIN_S: Final = 20.0
_HANG_S: Final = 6.0  # within which an utterance is sure to end
BLOCKED: Final = "event loop blocked"


async def kill(env: ChaosEnvironment) -> str:
    return await _killed(env, env.any_slot())


async def kill_at(env: ChaosEnvironment, point: CommitPoint) -> str:
    """Kill a worker at its next commit, or while it restores the partitions of another one."""
    slot = env.any_slot()
    partitions, size = await slot.partitions(env.topics.audio), slot.log_size()
    after = len(slot.exits)
    slot.control.die_at = point.encode()
    if point is CommitPoint.RESTORING:  # a takeover counts from the second death
        other = env.rng.choice([each for each in env.slots if each is not slot])
        partitions |= (await _kill(env, other)).partitions
    ended = await env.exit_of(slot, after, _ARMED_S, -signal.SIGKILL)
    if (proof := f"killed at {point}") not in slot.log_since(size):
        raise NotFired(f"{slot.name} was killed elsewhere")
    env.kills.append(Kill(ended.at_s, partitions))
    return f"{slot.name} {proof}"


async def kill_hung(env: ChaosEnvironment) -> str:
    """Kill a worker while its engine hangs: what it has read meanwhile has no text."""
    slot = env.any_slot()
    await _hang(slot)
    return await _killed(env, slot)


async def _hang(slot: WorkerSlot) -> None:
    slot.control.mode.hangs = True
    await asyncio.sleep(_HANG_S)


async def _killed(env: ChaosEnvironment, slot: WorkerSlot) -> str:
    killed = await _kill(env, slot)
    env.kills.append(killed)
    return f"{slot.name} ended by SIGKILL, it served {len(killed.partitions)} partitions"


async def _kill(env: ChaosEnvironment, slot: WorkerSlot) -> Kill:
    partitions, after = await slot.partitions(env.topics.audio), len(slot.exits)
    slot.signal(signal.SIGKILL)
    ended = await env.exit_of(slot, after, _DRAIN_S, -signal.SIGKILL)
    return Kill(ended.at_s, partitions)


async def _terminated(env: ChaosEnvironment, slot: WorkerSlot, within_s: float, code: int) -> None:
    after = len(slot.exits)
    slot.signal(signal.SIGTERM)
    await env.exit_of(slot, after, within_s, code)


async def terminate(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    await _terminated(env, slot, _DRAIN_S, 0)
    return f"{slot.name} drained and ended with 0"


async def terminate_stuck(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    await _hang(slot)
    await _terminated(env, slot, _DRAIN_S + ENGINE_TIMEOUT_S, 1)
    return f"{slot.name} could not drain and ended with 1"


async def rolling(env: ChaosEnvironment) -> str:
    """Restart every worker, one after the other."""
    for slot in env.slots:
        await _terminated(env, slot, _DRAIN_S, 0)
        await env.until_ready()
        await asyncio.sleep(3)
    return f"{len(env.slots)} workers drained one by one"


async def freeze(env: ChaosEnvironment) -> str:
    slot, topic = env.any_slot(), env.topics.audio
    own = await slot.partitions(topic)
    slot.signal(signal.SIGSTOP)
    await asyncio.sleep(30)
    others = await asyncio.gather(*(s.partitions(topic) for s in env.slots if s is not slot))
    slot.signal(signal.SIGCONT)
    taken = own & frozenset().union(*others)
    if own and not taken:
        raise NotFired(f"no other worker took over from {slot.name} while it was stopped")
    return f"{slot.name} was stopped for 30 s, others served {len(taken)} of its partitions"


async def block(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    size = slot.log_size()
    slot.control.block_s = 15
    if not await wait_until(lambda: BLOCKED in slot.log_since(size), 20):
        raise NotFired(f"{slot.name} did not report it")
    return f"{slot.name} was blocked for 15 s and reported: {BLOCKED}"


async def slow_engine(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    slot.control.mode.slowness = 10
    await asyncio.sleep(20)
    slot.control.mode.slowness = 1
    return f"{slot.name}'s engine was ten times slower for 20 s"


async def hung_engine(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    after = len(slot.exits)
    slot.control.mode.hangs = True
    await env.exit_of(slot, after, 2 * ENGINE_TIMEOUT_S + _DRAIN_S, 1)
    return f"{slot.name} gave up its engine and ended with 1"


async def small_memory(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    slot.control.mode.max_rows = 1
    await asyncio.sleep(15)
    slot.control.mode.max_rows = 0
    return f"{slot.name}'s engine held one row for 15 s"


async def poison(env: ChaosEnvironment) -> str:
    """Publish an utterance that ends every worker that decodes it."""
    ended, before = [len(slot.exits) for slot in env.slots], _failed(env)
    env.publishers.poison += 1
    await wait_until(lambda: _failed(env) > before, 90)
    codes = [e.code for s, n in zip(env.slots, ended, strict=True) for e in s.exits[n:]]
    if not (deaths := codes.count(DEVICE_ASSERT)):
        raise NotFired("no worker decoded it")
    return f"{deaths} workers were ended by it"


def _failed(env: ChaosEnvironment) -> int:
    return sum(isinstance(each.event, UtteranceFailed) for each in env.log.events)


async def storm(env: ChaosEnvironment) -> str:
    """Let another member join and leave the group every few seconds."""
    seconds = 300 if env.long else 30
    loop = asyncio.get_running_loop()
    joined, end_s = 0, loop.time() + seconds
    while loop.time() < end_s:
        joined += await _join_and_leave(env)
    if not joined:
        raise NotFired("no member could join")
    return f"a member joined and left {joined} times in {seconds} s"


async def _join_and_leave(env: ChaosEnvironment) -> bool:
    """Return whether the member could join."""
    member = AIOKafkaConsumer(
        bootstrap_servers=env.kafka.bootstrap,
        group_id=env.group,
        enable_auto_commit=False,
        auto_offset_reset="none",
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=10_000,
    )
    member.subscribe([env.topics.audio, env.topics.audio_bulk])
    try:
        async with asyncio.timeout(15):
            await member.start()
    except (KafkaError, TimeoutError):
        return False
    finally:
        await asyncio.sleep(1.5)
        await member.stop()
    return True
