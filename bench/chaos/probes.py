"""Workers that are started where they cannot work (rows 16, 20): one clear line, and nothing said.

Each has topics of its own in the same brokers, so the run goes on beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from bench.chaos.arena import Arena, NotFired
from bench.chaos.readers import read_all
from consumer.kafka.state_records import decode_states
from schemas.topics import Topics
from transport.cluster import create_topics

GROUP: Final = "probe"
_WITHIN_S: Final = 60.0
_HALTED: Final = "partition halted"
_OPENED: Final = "partition opened"
_SETTLE_S: Final = 3.0
_PROGRESS_S: Final = 10.0  # within which a worker writes down how far it came
_NEVER: Final = "\0"
_RECORDS: Final = 20
_numbers = count(1)


async def missing_topics(arena: Arena) -> str:
    return await _refused(arena, _topics(), "missing; run `streamscribe topics create`")


async def wrong_partitions(arena: Arena) -> str:
    topics = _topics()
    async with arena.admin() as admin:
        await admin.create_topics([NewTopic(topics.audio_dlq, 3, 1)])
        others = [NewTopic(name, 1, 1) for name in topics if name != topics.audio_dlq]
        await admin.create_topics(others)
    return await _refused(arena, topics, f"{topics.audio_dlq}: 3 partitions, not 1")


async def wrong_timestamps(arena: Arena) -> str:
    """Times that publishers choose: no replay would decide alike."""
    topics = _topics()
    await create_topics(arena.kafka.bootstrap, topics, partitions=1)
    changed = {"message.timestamp.type": "CreateTime"}
    resource = ConfigResource(ConfigResourceType.TOPIC, topics.audio, changed)
    async with arena.admin() as admin:
        await admin.alter_configs([resource])
    return await _refused(arena, topics, f"{topics.audio}: message.timestamp.type is CreateTime")


async def recreated_topic(arena: Arena) -> str:
    """The log that was read is gone, and another one has its name."""

    async def recreate(topics: Topics) -> None:
        async with arena.admin() as admin:
            await admin.delete_topics([topics.audio])
        await asyncio.sleep(_SETTLE_S)
        await create_topics(arena.kafka.bootstrap, topics, partitions=1)

    return await _halted(arena, recreate)


async def unreadable_state(arena: Arena) -> str:
    return await _halted(arena, lambda topics: _overwrite(arena, topics, b"not a state"))


async def newer_state(arena: Arena) -> str:
    """As a worker of a later release would write it."""
    return await _halted(arena, lambda topics: _overwrite(arena, topics, b'{"v": 99, "state": {}}'))


async def lost_state(arena: Arena) -> str:
    return await _halted(arena, lambda topics: _overwrite(arena, topics, None))


async def _refused(arena: Arena, topics: Topics, line: str) -> str:
    code, log = await arena.any_slot().try_out("\0", _WITHIN_S, prefix=topics.prefix, group=GROUP)
    told = [each for each in log.splitlines() if line in each]
    if code != 2 or not told:
        raise NotFired(f"the worker ended with {code}, saying {log[-300:]!r}")
    return f"refused with 2: {told[0]}"


async def _halted(arena: Arena, spoil: Callable[[Topics], Awaitable[None]]) -> str:
    """A worker has made progress; then that is spoilt, and the next one must not go on."""
    topics, slot = _topics(), arena.any_slot()
    await create_topics(arena.kafka.bootstrap, topics, partitions=1)
    await _publish(arena, topics)
    settings = {"prefix": topics.prefix, "group": GROUP}
    await slot.try_out(_OPENED, _WITHIN_S, _PROGRESS_S, **settings)
    if await _state(arena, topics) is None:
        raise NotFired("the first worker has written nothing down")
    await spoil(topics)
    code, log = await slot.try_out(_HALTED, _WITHIN_S, 0.5, **settings)
    told = next((each for each in log.splitlines() if _HALTED in each), None)
    if code is not None or told is None or "state reset" not in log:
        raise NotFired(f"the worker ended with {code}, saying {log[-300:]!r}")
    return f"halted, named the way out: {told[:120]}"


def _topics() -> Topics:
    return Topics(f"probe-{next(_numbers)}")


async def _publish(arena: Arena, topics: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=arena.kafka.bootstrap) as producer:
        for _ in range(_RECORDS):
            await producer.send_and_wait(topics.audio, bytes(3200), key=b"probe", partition=0)


async def _overwrite(arena: Arena, topics: Topics, value: bytes | None) -> None:
    key = f"P|{GROUP}|{topics.audio}".encode()
    async with AIOKafkaProducer(bootstrap_servers=arena.kafka.bootstrap) as producer:
        await producer.send_and_wait(topics.state, value, key=key, partition=0)


async def _state(arena: Arena, topics: Topics) -> Any:
    records: list[tuple[bytes | None, bytes | None]] = []
    await read_all(
        arena.kafka.bootstrap,
        topics.state,
        lambda record, _: records.append((record.key, record.value)),
    )
    return decode_states(GROUP, topics.audio, records)[0]
