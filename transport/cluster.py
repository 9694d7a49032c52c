"""Create and check the topics of a running cluster with aiokafka's admin client."""

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

DEFAULT_PARTITIONS = 64  # the maximum number of workers: adding some later would move streams
MAX_REPLICAS = 3
_CONNECT_TIMEOUT_S = 8.0
_TIMEOUT_S = 60.0
_POLL_S = 0.05
_PROPAGATION_S = 5.0  # until every broker's metadata has a new topic
_DENIED = TopicAuthorizationFailedError.errno


async def check_topics(
    bootstrap: str,
    topics: Topics,
    *,
    partitions: int | None = None,
    security: Security = Security(),  # noqa: B008 - frozen
) -> list[str]:
    """Return the lines of `schemas.topics.differences`; empty: all topics conform.

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
    """Create the missing topics; return their names once every partition has a leader.

    `partitions`: None: the count of the existing topics, else the default. `replication_factor`:
    None: the number of brokers, at most 3. Raises `Unreachable`, `AccessDenied`, and
    `RequestRefused`, also if a topic exists with another partition count.
    """
    async with admin_client(bootstrap, security) as admin:
        found = await _find(admin, topics)
        _check_partition_counts(found, partitions)
        replicas = replication_factor or min(MAX_REPLICAS, await _brokers(admin))
        count = partitions or (found[0].partitions if found else default_partitions)
        existing = {topic.name for topic in found}
        missing = [s for s in topic_specs(topics, replicas) if s.name not in existing]
        await _create(admin, [_new_topic(spec, count, replicas) for spec in missing])
        await _wait_for_leaders(admin, topics)
        # Again: another process may have created some meanwhile.
        _check_partition_counts(await _find(admin, topics), count)
    return [spec.name for spec in missing]


def _check_partition_counts(found: Sequence[TopicFound], partitions: int | None) -> None:
    """Raise RequestRefused if a topic has another count than `partitions`, or the first's."""
    if problems := partition_differences(found, partitions):
        raise RequestRefused("\n".join(["partition counts must agree:", *problems]))


@asynccontextmanager
async def admin_client(bootstrap: str, security: Security) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client.

    Raises `Unreachable`, `AccessDenied` when it connects, and for the client's errors in the body.
    """
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
        raise Unreachable(
            f"Kafka at {bootstrap} rejected a request or did not answer ({error!r}): check the "
            "brokers and try again"
        ) from error


async def _connect(bootstrap: str, arguments: Mapping[str, Any]) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, **arguments)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            await admin.start()
    except (KafkaError, OSError, ValueError) as error:  # TimeoutError is an OSError
        await admin.close()
        raise Unreachable(
            f"no Kafka answers at {bootstrap}: start one with `streamscribe broker`, "
            "or set its address with --bootstrap or STREAMSCRIBE_BOOTSTRAP"
        ) from error
    return admin


async def _find(admin: AIOKafkaAdminClient, topics: Topics) -> list[TopicFound]:
    """Return those of `topics` that exist. Raises TopicAuthorizationFailedError for hidden ones."""
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
    """Return the partitions of the topics that the user may describe.

    Waits for up to five seconds, because a broker's metadata may lack a new topic at first.
    """
    deadline = asyncio.get_running_loop().time() + _PROPAGATION_S
    while True:
        described = await admin.describe_topics()  # all: a request by name may create the topic
        found = {t["topic"]: t["partitions"] for t in described if t["topic"] in names}
        if len(found) == len(names) or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(_POLL_S)


async def _settings(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Return the settings of the topics that exist.

    Raises TopicAuthorizationFailedError with all topics that the user may not describe.
    """
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    (response,) = await admin.describe_configs(resources)
    if denied := {name for code, _, _, name, _ in response.resources if code == _DENIED}:
        raise TopicAuthorizationFailedError(denied)
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
    problems = [
        f"{name}: {message or for_code(code).__name__}"
        for name, code, message in response.topic_errors
        if code not in (0, TopicAlreadyExistsError.errno)
    ]
    if problems:
        raise RequestRefused("\n".join(["Kafka did not create these topics:", *problems]))


async def _wait_for_leaders(admin: AIOKafkaAdminClient, topics: Topics) -> None:
    """Return once every partition has a leader in a broker's metadata.

    The controller confirms the creation before the brokers' metadata, which clients use, has it.
    """
    names = set(topics)
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics()
        ready = {t["topic"] for t in described if all(p["leader"] >= 0 for p in t["partitions"])}
        if names <= ready:
            return
        await asyncio.sleep(_POLL_S)
