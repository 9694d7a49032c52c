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


def test_created_topics_pass_the_check(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "create", prefix, "--partitions", "2") == 0
    assert f"created {prefix}.audio.v1" in capsys.readouterr().out
    assert run(kafka, "check", prefix, "--partitions", "2") == 0
    assert run(kafka, "create", prefix) == 0
    assert "created" not in capsys.readouterr().out


def test_check_reports_every_missing_topic(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "check", prefix) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(Topics(prefix))


async def test_check_reports_the_wrong_settings_of_an_existing_topic(
    kafka: LocalKafka, prefix: str
):
    topics = Topics(prefix)
    await create_wrong(kafka, topics.audio, partitions=2)
    assert await create_topics(kafka.bootstrap, topics) == list(topics)[1:]
    lines = await check_topics(kafka.bootstrap, topics)
    assert [line.split(", must")[0] for line in lines] == [
        f"{topics.audio}: message.timestamp.type is CreateTime",
        f"{topics.audio}: compression.type is producer",
        f"{topics.audio}: max.message.bytes is 1048588",
    ]


async def test_differing_partition_counts_are_rejected(kafka: LocalKafka, prefix: str):
    topics = Topics(prefix)
    await create_wrong(kafka, topics.state, partitions=3)
    with pytest.raises(RequestRefused, match=f"agree:\n{topics.state}: 3 partitions"):
        await create_topics(kafka.bootstrap, topics, partitions=2)
    assert f"{topics.audio}: missing; run `streamscribe topics create`" in await check_topics(
        kafka.bootstrap, topics
    )


def test_more_replicas_than_brokers_are_rejected(
    kafka: LocalKafka, prefix: str, capsys: pytest.CaptureFixture[str]
):
    assert run(kafka, "create", prefix, "--replication-factor", "3") == 1
    assert "Kafka did not create these topics" in capsys.readouterr().err


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1", "no.such.host.invalid:9092"])
def test_an_absent_broker_is_a_one_line_error(bootstrap: str, capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--bootstrap", bootstrap]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe topics: no Kafka answers at {bootstrap}: start one")


@pytest.mark.parametrize(
    "options",
    [["--partitions", "0"], ["--prefix", "no spaces"], ["--bootstrap", "host:port"], ["--what"]],
)
def test_invalid_options_are_a_usage_error(options: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as raised:
        main(["create", *options])
    assert raised.value.code == 2
    assert options[-1] in capsys.readouterr().err


class StaleMetadataClient(AIOKafkaAdminClient):
    """A client whose first request reaches a broker without metadata of any topic."""

    requests = 0

    async def describe_topics(self, topics: list[str] | None = None) -> list[Any]:
        self.requests += 1
        return [] if self.requests == 1 else await super().describe_topics(topics)


async def test_a_topic_missing_in_one_broker_s_metadata_is_not_reported_as_forbidden(
    kafka: LocalKafka, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = Topics(prefix)
    await create_topics(kafka.bootstrap, topics, partitions=1)
    monkeypatch.setattr(cluster, "AIOKafkaAdminClient", StaleMetadataClient)
    assert await check_topics(kafka.bootstrap, topics) == []
