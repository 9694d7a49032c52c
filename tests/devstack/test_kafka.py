from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from devstack.errors import DevstackError
from devstack.kafka import LocalKafka
from devstack.kafka_node import CONTROLLER_PRINCIPAL
from schemas.topics import Topics
from transport.cluster import create_topics

RECORDS = [b"first", b"second", b"third"]

# A process that starts Kafka, prints Kafka's pid, and waits to be killed.
PARENT = """
import signal
from devstack.kafka import LocalKafka
with LocalKafka() as kafka:
    print(kafka.pid(1), flush=True)
    signal.pause()
"""
DEADLINE_MS = 10_000

pytestmark = pytest.mark.broker


async def publish(bootstrap: str, topic: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for record in RECORDS:
            await producer.send_and_wait(topic, record, key=b"stream")


async def read(bootstrap: str, topic: str) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value for _ in RECORDS]


async def test_published_records_are_read(kafka: LocalKafka, topics: Topics):
    await publish(kafka.bootstrap, topics.audio)
    assert await read(kafka.bootstrap, topics.audio) == RECORDS


async def test_records_are_kept_across_a_restart_on_the_same_folder(tmp_path: Path):
    topics = Topics()
    async with LocalKafka(data=tmp_path) as kafka:
        await create_topics(kafka.bootstrap, topics, partitions=1)
        await publish(kafka.bootstrap, topics.audio)
    async with LocalKafka(data=tmp_path) as kafka:
        assert await read(kafka.bootstrap, topics.audio) == RECORDS
        with pytest.raises(DevstackError, match="in use by another broker"):
            await LocalKafka(data=tmp_path).start()
    with pytest.raises(DevstackError, match=r"data of 1 node\(s\), not 3"):
        await LocalKafka(3, data=tmp_path).start()


async def test_a_cluster_of_three_with_an_authorizer_works_without_one_node():
    """Votes between controllers are authorized, before any rule has been read."""
    topics = Topics()
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "super.users": CONTROLLER_PRINCIPAL,
    }
    async with LocalKafka(3, settings=settings) as kafka:
        assert kafka.nodes == (1, 2, 3)
        await create_topics(kafka.bootstrap, topics, partitions=1)
        kafka.kill(2)
        assert kafka.exit_codes() == {2: -signal.SIGKILL}
        async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
            await producer.send_and_wait(topics.audio, b"with two of three")
        await kafka.restart(2)
        assert kafka.exit_codes() == {}


async def test_a_paused_node_does_not_answer_until_it_is_resumed(kafka: LocalKafka):
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap, request_timeout_ms=300)
    kafka.pause(1)
    try:
        with pytest.raises(KafkaConnectionError):
            await client.bootstrap()
    finally:
        kafka.resume(1)
    client = AIOKafkaClient(bootstrap_servers=kafka.bootstrap)
    await client.bootstrap()
    await client.close()


def test_kafka_ends_with_its_killed_parent(tmp_path: Path):
    command, env = [sys.executable, "-c", PARENT], {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout
        java = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    poll = select.poll()
    poll.register(java, select.POLLIN)  # readable when the process has ended
    assert poll.poll(DEADLINE_MS)
    os.close(java)


async def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DevstackError, match=f"port {port} cannot be opened .*choose another"):
            await LocalKafka(port=port).start()


def test_a_cluster_of_two_nodes_is_rejected():
    with pytest.raises(ValueError, match="1 or 3"):
        LocalKafka(2)


async def test_a_node_that_ends_during_its_start_is_reported_with_its_log(tmp_path: Path):
    log = tmp_path / "node-1" / "log"
    log.mkdir(parents=True)
    (log / "meta.properties").write_text("version=1\nnode.id=1\n")
    with pytest.raises(DevstackError, match=r"node 1 ended with 1; (.|\n)*cluster\.id was not"):
        await LocalKafka(data=tmp_path).start()


async def test_a_file_in_place_of_the_data_folder_is_reported(tmp_path: Path):
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(DevstackError, match=f"choose another: .*{file}"):
        await LocalKafka(data=file).start()
