from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import settings

from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport.cluster import create_topics

pytest_plugins = ["fixtures_security", "fixtures_threads", "fixtures_weights"]

settings.register_profile("suite", deadline=None)  # no test fails for being slow
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses the broker says so: `-m "not broker"` leaves the pure tests."""
    for item in items:
        if {"kafka", "secure_kafka"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("broker")


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """One real broker for the whole session: `kafka.bootstrap`."""
    with LocalKafka() as kafka:
        yield kafka


@pytest.fixture
def prefix() -> str:
    """For topics that no other test sees."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
async def topics(kafka: LocalKafka, prefix: str) -> Topics:
    """All topics, created with four partitions each, for one test alone."""
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=4)
    return topics
