"""What operators get wrong (rows 16, 20): topics, state, rights. A worker has to name the way out.

Topics and state are spoilt beside the run: a worker of its own is started on topics of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from aiokafka.admin import NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.admin import DeleteAclsRequest

from admin.acls import grant
from bench.robustness.chaos.environment import ChaosEnvironment
from bench.robustness.chaos.event_log import read_progress
from bench.robustness.chaos.process_slots import NotFired, wait_until
from schemas.topics import Topics
from transport.acls import Acl, Operation, Resource
from transport.cluster import create_topics
from transport.compat import send_admin_request
from transport.security import Security

GROUP: Final = "probe"
HALTED: Final = "partition halted"
OPENED: Final = "partition opened"
_WITHIN_S: Final = 60.0
_SETTLE_S: Final = 3.0
_PROGRESS_S: Final = 10.0  # within which a worker commits its progress
_NEVER: Final = "\0"
_RECORDS: Final = 3
_numbers = count(1)


def _new_topics() -> Topics:
    return Topics(f"probe-{next(_numbers)}")


async def _created_topics(env: ChaosEnvironment) -> Topics:
    topics = _new_topics()
    await create_topics(env.kafka.bootstrap, topics, partitions=1)
    return topics


# --- topics: the worker refuses to start


async def missing_topics(env: ChaosEnvironment) -> str:
    return await _refused(env, _new_topics(), "missing; run `streamscribe topics create`")


async def wrong_partitions(env: ChaosEnvironment) -> str:
    topics = await _created_topics(env)
    async with env.admin() as admin:
        await admin.create_partitions({topics.audio_dlq: NewPartitions(total_count=3)})
    return await _refused(env, topics, f"{topics.audio_dlq}: 3 partitions, not 1")


async def wrong_timestamps(env: ChaosEnvironment) -> str:
    """Let publishers choose the timestamps: a replay could decide otherwise."""
    topics = await _created_topics(env)
    changed = {"message.timestamp.type": "CreateTime"}
    resource = ConfigResource(ConfigResourceType.TOPIC, topics.audio, changed)
    async with env.admin() as admin:
        await admin.alter_configs([resource])
    return await _refused(env, topics, f"{topics.audio}: message.timestamp.type is CreateTime")


async def _refused(env: ChaosEnvironment, topics: Topics, line: str) -> str:
    code, log = await env.any_slot().try_settings(
        _NEVER, _WITHIN_S, prefix=topics.prefix, group=GROUP
    )
    found = [each for each in log.splitlines() if line in each]
    if code != 2 or not found:
        raise NotFired(f"the worker ended with {code}; its log ends {log[-300:]!r}")
    return f"refused with 2: {found[0]}"


# --- state: the worker halts the partition


async def recreated_topic(env: ChaosEnvironment) -> str:
    """Delete the topic that was read, and create another one of its name."""

    async def recreate(topics: Topics) -> None:
        async with env.admin() as admin:
            await admin.delete_topics([topics.audio])
        await asyncio.sleep(_SETTLE_S)
        await create_topics(env.kafka.bootstrap, topics, partitions=1)

    return await _halted(env, recreate)


async def overwritten_state(env: ChaosEnvironment, value: bytes | None) -> str:
    """Replace the state of a partition: unreadable, of a later release, or deleted."""

    async def overwrite(topics: Topics) -> None:
        key = f"P|{GROUP}|{topics.audio}".encode()
        await env.publish(topics.state, 0, key, value)

    return await _halted(env, overwrite)


async def _halted(env: ChaosEnvironment, spoil: Callable[[Topics], Awaitable[None]]) -> str:
    """Let a worker make progress, then spoil it: the next worker must not go on."""
    topics, slot = await _created_topics(env), env.any_slot()
    for _ in range(_RECORDS):
        await env.publish(topics.audio, 0, b"probe", bytes(3200))
    settings = {"prefix": topics.prefix, "group": GROUP}
    await slot.try_settings(OPENED, _WITHIN_S, _PROGRESS_S, **settings)
    if (await read_progress(env.kafka.bootstrap, topics, GROUP))[0].next_offset is None:
        raise NotFired("the first worker has committed nothing")
    await spoil(topics)
    code, log = await slot.try_settings(HALTED, _WITHIN_S, 0.5, **settings)
    line = next((each for each in log.splitlines() if HALTED in each), None)
    if code is not None or line is None or "state reset" not in log:
        raise NotFired(f"the worker ended with {code}; its log ends {log[-300:]!r}")
    return f"halted, named the way out: {line[:120]}"


# --- rights: all workers halt until they have them again


async def revoke(env: ChaosEnvironment) -> str:
    """Take the right to write transcripts from all workers, then give it back."""
    topic = env.topics.transcripts
    # Whatever a topic's first ACL does not allow is forbidden.
    rights = [Acl(Resource.TOPIC, topic, Operation.READ)]
    await grant(env.kafka.bootstrap, Security(), "User:*", rights)
    try:
        await wait_until(lambda: bool(_halts(env)), _WITHIN_S)
    finally:
        await _delete_acls(env, topic)
    if not (halts := _halts(env)):
        raise NotFired(f"no worker has reported that it may not write {topic}")
    return f"halted: {halts[0][:200]}"


def _halts(env: ChaosEnvironment) -> list[str]:
    """Return the lines in which workers name the topic."""
    lines = (line for slot in env.slots for line in slot.new_log.splitlines())
    return [line for line in lines if HALTED in line and env.topics.transcripts in line]


async def _delete_acls(env: ChaosEnvironment, topic: str) -> None:
    # Kafka's codes (org.apache.kafka.common.resource and .acl): topic, literal; any operation.
    request = DeleteAclsRequest(2, topic, 3, "User:*", "*", 1, 1)
    async with env.admin() as admin:
        await send_admin_request(admin, request)
