"""One broker with TLS, SASL and ACLs per session, with topics and a user for each role."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from secure_kafka import SecureKafka

from admin.acls import grant
from schemas.topics import Topics
from transport.acls import Role, acls
from transport.cluster import create_topics
from transport.security import Security

GROUP = "night"


@pytest.fixture(scope="session")
def secure_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with SecureKafka(tmp_path_factory.mktemp("secrets")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def guarded(secure_kafka: SecureKafka) -> Topics:
    """The topics of the secure broker; the user of each role has the role's rights on them."""
    topics = Topics("guarded")
    asyncio.run(create(secure_kafka.bootstrap, topics))
    return topics


async def create(bootstrap: str, topics: Topics) -> None:
    await create_topics(bootstrap, topics, partitions=1)
    for role in Role:
        await grant(bootstrap, Security(), f"User:{role}", acls(role, topics, GROUP))
