"""Brokers that fail (rows 4-6), and networks between them and a worker (7, 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bench.robustness.chaos.environment import ChaosEnvironment
from bench.robustness.chaos.process_slots import NotFired, wait_until
from bench.robustness.chaos.worker_faults import ARMED_S
from devstack.proxy import Proxy

END_TXN: Final = 26  # Kafka's number of the request
_DISTURBED_S: Final = 20.0


# --- brokers


async def kill_leader(env: ChaosEnvironment) -> str:
    partition = env.any_partition()
    node = await env.leader(env.topics.transcripts, partition)
    return await _kill_broker(env, node, f"leader of transcripts {partition}")


async def kill_group_coordinator(env: ChaosEnvironment) -> str:
    async with env.admin() as admin:
        node = await admin.find_coordinator(env.group)
    return await _kill_broker(env, node, "group coordinator")


async def kill_transaction_coordinator(env: ChaosEnvironment) -> str:
    name = env.any_transactional_id()
    async with env.admin() as admin:
        node = await admin.find_coordinator(name, 1)
    return await _kill_broker(env, node, f"coordinator of {name}")


async def _kill_broker(env: ChaosEnvironment, node: int, role: str) -> str:
    env.kafka.kill(node)
    await asyncio.sleep(env.rng.uniform(2, 10))
    return f"broker {node}, {role}, ended with {env.kafka.exit_codes()[node]}"


async def pause_broker(env: ChaosEnvironment, seconds: float) -> str:
    node = env.rng.choice(env.kafka.nodes)
    env.kafka.pause(node)
    await asyncio.sleep(seconds)
    return f"broker {node} was stopped for {seconds:.0f} s"


async def lose_brokers(env: ChaosEnvironment, count: int) -> str:
    for node in env.rng.sample(env.kafka.nodes, min(count, len(env.kafka.nodes))):
        env.kafka.kill(node)
    seconds = 300 if env.scenario.long else 20
    await asyncio.sleep(seconds)
    codes, ended = env.kafka.exit_codes(), sum(len(slot.new_exits) for slot in env.slots)
    return f"brokers {codes} were away for {seconds} s; workers ended meanwhile: {ended}"


# --- networks


async def disturb(
    env: ChaosEnvironment, cause: Callable[[Proxy], None], effect: str, brokers: int | None = None
) -> str:
    """Disturb all that passes between a worker and so many brokers (None: all) for a while."""
    slot = env.any_slot()
    before, proxies = slot.link.resets, slot.link.proxies
    for proxy in env.rng.sample(proxies, brokers or len(proxies)):
        cause(proxy)
    await asyncio.sleep(_DISTURBED_S)
    resets = slot.link.resets - before
    between = f"between {slot.name} and {brokers or 'all'} brokers"
    return f"{effect} {between} for {_DISTURBED_S:.0f} s, {resets} connections were reset"


async def reset_at_end(env: ChaosEnvironment, *, passed: bool) -> str:
    """Reset a connection in the middle of EndTxn, before or after the broker has it."""
    slot = env.any_slot()
    for proxy in slot.link.proxies:
        proxy.reset_at(END_TXN, passed=passed)
    if not await wait_until(lambda: not all(p.is_armed for p in slot.link.proxies), ARMED_S):
        raise NotFired(f"{slot.name} has committed nothing")
    return f"{slot.name}'s connection was reset {'after' if passed else 'before'} EndTxn"
