from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from admin.topics import main
from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport import cluster
from transport.cluster import check_topics, create_topics
from transport.errors import RequestRefused


async def create_wrong(kafka: LocalKafka, name: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1)])
    async with asyncio.timeout(10):
        while name not in await admin.list_topics():
            pass
    await admin.close()


def run(kafka: LocalKafka, action: str, prefix: str, *options: str) -> int:
    return main([action, "--bootstrap", kafka.bootstrap, "--prefix", prefix, *options])


def test_created_topics_are_as_they_must_be(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "create", prefix, "--partitions", "2") == 0
    assert f"created {prefix}.audio.v1" in capsys.readouterr().out
    assert run(kafka, "check", prefix, "--partitions", "2") == 0
    assert run(kafka, "create", prefix) == 0
    assert "created" not in capsys.readouterr().out


def test_check_names_every_topic_that_is_missing(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "check", prefix) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(Topics(prefix))


async def test_a_topic_made_by_hand_is_told_what_it_lacks(kafka: LocalKafka, prefix: str):

    topics = Topics(prefix)
    await create_wrong(kafka, topics.audio, partitions=2)
    assert await create_topics(kafka.bootstrap, topics) == list(topics)[1:]
    lines = await check_topics(kafka.bootstrap, topics)
    assert [line.split(", must")[0] for line in lines] == [
        f"{topics.audio}: message.timestamp.type is CreateTime",
        f"{topics.audio}: compression.type is producer",
        f"{topics.audio}: max.message.bytes is 1048588",
    ]


async def test_partition_counts_that_differ_are_refused(kafka: LocalKafka, prefix: str):

    topics = Topics(prefix)
    await create_wrong(kafka, topics.state, partitions=3)
    with pytest.raises(RequestRefused, match=f"agree:\n{topics.state}: 3 partitions"):
        await create_topics(kafka.bootstrap, topics, partitions=2)
    assert f"{topics.audio}: missing; run `streamscribe topics create`" in await check_topics(
        kafka.bootstrap, topics
    )


def test_more_replicas_than_brokers_are_refused(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "create", prefix, "--replication-factor", "3") == 1
    assert "Kafka refused to create" in capsys.readouterr().err


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1", "no.such.host.invalid:9092"])
def test_a_dead_broker_is_one_line(bootstrap: str, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--bootstrap", bootstrap]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe topics: no Kafka answers at {bootstrap}: start one")


@pytest.mark.parametrize(
    "options",
    [["--partitions", "0"], ["--prefix", "no spaces"], ["--bootstrap", "host:port"], ["--what"]],
)
def test_wrong_options_are_a_usage_error(options: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["create", *options])
    assert ended.value.code == 2
    assert options[-1] in capsys.readouterr().err


class Hearsay(AIOKafkaAdminClient):
    """Asks two brokers in turn, one of which has not heard of any topic yet."""

    asked = 0

    async def describe_topics(self, topics: list[str] | None = None) -> list[Any]:
        self.asked += 1
        return [] if self.asked == 1 else await super().describe_topics(topics)


async def test_a_topic_that_one_broker_has_not_heard_of_is_not_taken_for_forbidden(
    kafka: LocalKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=1)
    monkeypatch.setattr(cluster, "AIOKafkaAdminClient", Hearsay)
    assert await check_topics(kafka.bootstrap, topics) == []
