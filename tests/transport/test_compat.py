"""The private names of aiokafka that transport/compat.py uses exist and behave as it assumes."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from devstack.kafka import LocalKafka
from schemas.topics import Topics
from transport import compat


async def test_the_private_names_of_a_consumer_exist():
    consumer = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1", group_id="g")
    assert compat.group_of(consumer) == "g"
    client = compat.client_of(consumer)
    before = client.send
    compat.replace_send(client, lambda send: send if send == before else pytest.fail("not send"))
    compat.set_credentials(client, {"ssl_context": 1, "sasl_plain_password": "p"})
    assert (client._ssl_context, client._sasl_plain_password) == (1, "p")
    assert compat.client_of(AIOKafkaAdminClient(bootstrap_servers="127.0.0.1:1"))
    await consumer.stop()


async def test_an_abandoned_producer_stops_without_delivering_its_batches(
    kafka: LocalKafka, topics: Topics
):
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=topics.prefix, linger_ms=60_000
    )
    await producer.start()
    assert compat.producer_epoch(producer) == 0
    compat.keep_batches(producer, 1.0)
    await producer.begin_transaction()
    assert compat.transaction_error(producer) is None
    sent = await producer.send(topics.transcripts, b"x", partition=0)
    await compat.abandon_producer(producer, 1.0)
    await producer.stop()
    sent.cancel()


async def test_a_position_is_at_the_end_after_the_last_record(kafka: LocalKafka, topics: Topics):
    tp = TopicPartition(topics.audio, 0)
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        await producer.send_and_wait(tp.topic, b"x", partition=0)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, auto_offset_reset="none")
    async with consumer:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        assert not compat.position_at_end(consumer, tp)
        while not await consumer.getmany(tp, timeout_ms=100):
            pass
        assert compat.position_at_end(consumer, tp)
