"""Workers that are killed, frozen, stopped, hung (rows 1-3, 9, 10, 22), and their group (17)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

from bench.robustness.chaos.commit_traps import CommitPoint
from bench.robustness.chaos.environment import ENGINE_TIMEOUT_S, ChaosEnvironment, Kill
from bench.robustness.chaos.oracle import DEVICE_ASSERT
from bench.robustness.chaos.process_slots import NotFired, wait_until
from bench.robustness.chaos.worker import BLOCK_S
from bench.robustness.chaos.worker_slots import WorkerSlot
from schemas.transcript import UtteranceFailed

ARMED_S: Final = 40.0  # within which a commit is sure to be made
BLOCKED: Final = "event loop blocked"
_DRAIN_S: Final = 20.0
_CHANGED_S: Final = 20.0
_HANG_S: Final = 6.0  # within which an utterance is sure to end
_POISON_S: Final = 90.0


async def kill(env: ChaosEnvironment) -> str:
    return await _killed(env, env.any_slot())


async def kill_hung(env: ChaosEnvironment) -> str:
    """Kill a worker while its engine hangs: what it has read meanwhile has no text."""
    return await _killed(env, await _hung(env))


async def _killed(env: ChaosEnvironment, slot: WorkerSlot) -> str:
    killed = await _kill(slot)
    env.kills.append(killed)
    return f"{slot.name} ended by SIGKILL, it served {len(killed.partitions)} partitions"


async def _kill(slot: WorkerSlot) -> Kill:
    partitions = await slot.partitions()
    slot.signal(signal.SIGKILL)
    ended = await slot.ended(-signal.SIGKILL, _DRAIN_S)
    return Kill(ended.at_s, partitions)


async def kill_at(env: ChaosEnvironment, point: CommitPoint) -> str:
    """Kill a worker at its next commit, or while it restores the partitions of another one."""
    slot = env.any_slot()
    partitions = await slot.partitions()
    slot.control.die_at = point.encode()
    if point is CommitPoint.RESTORING:  # a takeover counts from the second death
        other = env.rng.choice([each for each in env.slots if each is not slot])
        partitions |= (await _kill(other)).partitions
    ended = await slot.ended(-signal.SIGKILL, ARMED_S)
    if (proof := f"killed at {point}") not in slot.new_log:
        raise NotFired(f"{slot.name} was killed elsewhere")
    env.kills.append(Kill(ended.at_s, partitions))
    return f"{slot.name} {proof}"


async def terminate(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    await _drain(slot)
    return f"{slot.name} drained and ended with 0"


async def terminate_stuck(env: ChaosEnvironment) -> str:
    slot = await _hung(env)
    slot.signal(signal.SIGTERM)
    await slot.ended(1, _DRAIN_S + ENGINE_TIMEOUT_S)
    return f"{slot.name} could not drain and ended with 1"


async def rolling(env: ChaosEnvironment) -> str:
    """Restart every worker, one after the other."""
    for slot in env.slots:
        await _drain(slot)
        await env.until_ready()
        await asyncio.sleep(3)
    return f"{len(env.slots)} workers drained one by one"


async def _drain(slot: WorkerSlot) -> None:
    slot.signal(signal.SIGTERM)
    await slot.ended(0, _DRAIN_S)


async def freeze(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    own = await slot.partitions()
    slot.signal(signal.SIGSTOP)
    await asyncio.sleep(30)
    others = await asyncio.gather(*(s.partitions() for s in env.slots if s is not slot))
    taken = own & frozenset().union(*others)
    if own and not taken:
        raise NotFired(f"no other worker took over from {slot.name} while it was stopped")
    return f"{slot.name} was stopped for 30 s, others served {len(taken)} of its partitions"


async def block(env: ChaosEnvironment) -> str:
    slot = env.any_slot()
    slot.signal(signal.SIGUSR1)
    return await slot.logged(BLOCKED, BLOCK_S + 5)


async def hung_engine(env: ChaosEnvironment) -> str:
    slot = env.model_of(env.any_slot())
    slot.control.hangs = True
    await slot.ended(1, 2 * ENGINE_TIMEOUT_S + _DRAIN_S)
    return f"{slot.name} gave up its engine and ended with 1"


async def _hung(env: ChaosEnvironment) -> WorkerSlot:
    """Return a worker whose engine hangs, with an utterance in it."""
    slot = env.any_slot()
    env.model_of(slot).control.hangs = True
    await asyncio.sleep(_HANG_S)
    return slot


async def change_engine(env: ChaosEnvironment, mode: Mapping[str, float]) -> str:
    """Change how an engine behaves, for a while."""
    slot = env.model_of(env.any_slot())
    for name, value in mode.items():
        setattr(slot.control, name, value)
    await asyncio.sleep(_CHANGED_S)
    slot.control.reset()
    return f"{slot.name}'s engine had {mode} for {_CHANGED_S:.0f} s"


async def poison(env: ChaosEnvironment) -> str:
    """Publish an utterance that ends every process that decodes it."""
    before = _failed(env)
    env.publishers.poison += 1
    await wait_until(lambda: _failed(env) > before, _POISON_S)
    codes = [each.code for slot in env.processes for each in slot.new_exits]
    if not (deaths := codes.count(DEVICE_ASSERT)):
        raise NotFired("no process decoded it")
    return f"{deaths} processes were ended by it"


def _failed(env: ChaosEnvironment) -> int:
    return sum(isinstance(each.event, UtteranceFailed) for each in env.log.events)


async def storm(env: ChaosEnvironment) -> str:
    """Let another member join and leave the group every few seconds."""
    seconds = 300 if env.scenario.long else 30
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
