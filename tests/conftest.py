from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import budget
import pytest
from hypothesis import settings

from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport.cluster import create_topics

pytest_plugins = ["fixtures_security", "fixtures_threads", "fixtures_weights"]

settings.register_profile("suite", budget.examples(budget.DEFAULT_EXAMPLES))
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests that use a broker, so that `-m "not broker"` leaves them out."""
    for item in items:
        if {"kafka", "secure_kafka"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker("broker")


@pytest.fixture(scope="session")
def kafka() -> Iterator[LocalKafka]:
    """One real broker for the whole session; clients of its link can be cut off by a proxy."""
    with LocalKafka(links=("link",)) as kafka:
        yield kafka


@pytest.fixture
def prefix() -> str:
    """The prefix of topics that no other test uses."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
async def topics(kafka: LocalKafka, prefix: str) -> Topics:
    """All topics, with four partitions each, for one test."""
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=4)
    return topics
