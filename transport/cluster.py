"""Topics of a running cluster, by aiokafka's admin client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from schemas.topics import (
    TopicFound,
    Topics,
    TopicSpec,
    differences,
    partition_differences,
    topic_specs,
)
from transport.authorization import authorization_problem
from transport.diagnosis import verify_access
from transport.errors import AccessDenied, RequestRefused, Unreachable
from transport.security import Security

DEFAULT_PARTITIONS = 64  # the most workers there can ever be: growing it would move streams
MAX_REPLICAS = 3
_CONNECT_TIMEOUT_S = 8.0
_TIMEOUT_S = 60.0
_POLL_S = 0.05
_HEARSAY_S = 5.0  # within which every broker has heard of a new topic
_DENIED = TopicAuthorizationFailedError.errno


async def check_topics(
    bootstrap: str,
    topics: Topics,
    *,
    partitions: int | None = None,
    security: Security = Security(),  # noqa: B008 - frozen
) -> list[str]:
    """Return what is not as `schemas.topics.differences` requires, one line each.

    Raises `Unreachable`, `AccessDenied`.
    """
    async with admin_client(bootstrap, security) as admin:
        return differences(topics, await _find(admin, topics), partitions=partitions)


async def create_topics(
    bootstrap: str,
    topics: Topics,
    *,
    partitions: int | None = None,
    default_partitions: int = DEFAULT_PARTITIONS,
    replication_factor: int | None = None,
    security: Security = Security(),  # noqa: B008 - frozen
) -> list[str]:
    """Create those that are missing; returns their names once every partition has a leader.

    `partitions`: None is the count of those that exist, else the default. `replication_factor`:
    None is the number of brokers, at most 3. Raises `Unreachable`, `AccessDenied`, and
    `RequestRefused` also where a topic exists with another partition count.
    """
    async with admin_client(bootstrap, security) as admin:
        found = await _find(admin, topics)
        _refuse_differing(found, partitions)
        replicas = replication_factor or min(MAX_REPLICAS, await _brokers(admin))
        count = partitions or (found[0].partitions if found else default_partitions)
        existing = {topic.name for topic in found}
        missing = [s for s in topic_specs(topics, replicas) if s.name not in existing]
        await _create(admin, [_new_topic(spec, count, replicas) for spec in missing])
        await _until_led(admin, topics)
        _refuse_differing(await _find(admin, topics), count)  # another process was quicker
    return [spec.name for spec in missing]


def _refuse_differing(found: Sequence[TopicFound], partitions: int | None) -> None:
    if problems := partition_differences(found, partitions):
        raise RequestRefused("\n".join(["partition counts must agree:", *problems]))


@asynccontextmanager
async def admin_client(bootstrap: str, security: Security) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect an admin client. Raises `Unreachable`, `AccessDenied`."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            admin = await _connect(bootstrap, await verify_access(bootstrap, security))
            try:
                yield admin
            finally:
                await admin.close()
    except (KafkaError, TimeoutError) as error:
        if isinstance(error, KafkaError) and (problem := authorization_problem(error, security)):
            raise AccessDenied(problem) from error
        raise Unreachable(f"Kafka at {bootstrap} refused or did not answer: {error!r}") from error


async def _connect(bootstrap: str, arguments: Mapping[str, Any]) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **arguments)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await admin.start()
    except (KafkaError, OSError, ValueError) as error:  # TimeoutError is an OSError
        await admin.close()
        raise Unreachable(
            f"no Kafka answers at {bootstrap}: start one with `streamscribe broker`, "
            "or say where it is with --bootstrap or STREAMSCRIBE_BOOTSTRAP"
        ) from error
    return admin


async def _find(admin: AIOKafkaAdminClient, topics: Topics) -> list[TopicFound]:
    settings = await _settings(admin, list(topics))
    partitions = await _partitions(admin, settings.keys())
    if hidden := settings.keys() - partitions.keys():
        raise TopicAuthorizationFailedError(hidden)
    return [
        TopicFound(
            name=name,
            partitions=len(partitions[name]),
            replication_factor=len(partitions[name][0]["replicas"]),
            settings=settings[name],
        )
        for name in topics
        if name in partitions
    ]


async def _partitions(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, list[Any]]:
    """Of those that may be seen; another broker may have heard later of a topic that is new."""
    give_up = asyncio.get_running_loop().time() + _HEARSAY_S
    while True:
        described = await admin.describe_topics()  # of all: asking for one by name may create it
        found = {t["topic"]: t["partitions"] for t in described if t["topic"] in names}
        if len(found) == len(names) or asyncio.get_running_loop().time() > give_up:
            return found
        await asyncio.sleep(_POLL_S)


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Of those that exist. Raises TopicAuthorizationFailedError with all that may not be seen."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    (response,) = await admin.describe_configs(resources)
    if refused := {name for code, _, _, name, _ in response.resources if code == _DENIED}:
        raise TopicAuthorizationFailedError(refused)
    return {
        name: {key: value for key, value, *_ in entries}
        for code, _, _, name, entries in response.resources
        if code != UnknownTopicOrPartitionError.errno
    }


async def _brokers(admin: AIOKafkaAdminClient) -> int:
    return len((await admin.describe_cluster())["brokers"])


def _new_topic(spec: TopicSpec, partitions: int, replicas: int) -> NewTopic:
    settings = {key: str(value) for key, value in spec.required.items()}
    return NewTopic(spec.name, partitions, replicas, topic_configs=settings | dict(spec.initial))


async def _create(admin: AIOKafkaAdminClient, new: list[NewTopic]) -> None:
    if not new:
        return
    response = await admin.create_topics(new)
    refused = [
        f"{name}: {message or for_code(code).__name__}"
        for name, code, message in response.topic_errors
        if code not in (0, TopicAlreadyExistsError.errno)
    ]
    if refused:
        raise RequestRefused("Kafka refused to create\n" + "\n".join(refused))


async def _until_led(admin: AIOKafkaAdminClient, topics: Topics) -> None:
    """Creation is answered by the controller; brokers, and so clients, learn of it later."""
    names = set(topics)
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics()
        led = {t["topic"] for t in described if all(p["leader"] >= 0 for p in t["partitions"])}
        if names <= led:
            return
        await asyncio.sleep(_POLL_S)
