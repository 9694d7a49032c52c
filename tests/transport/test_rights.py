"""Each role's rights at a real broker, and the messages for missing rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from fixtures_security import GROUP
from secure_kafka import SecureKafka

import admin.topics
import producer.__main__
import subscriber.__main__
from admin.acls import main
from producer.errors import PublishError
from producer.publisher import AudioPublisher
from schemas.audio import AudioChunk
from schemas.codec import encode_event
from schemas.topics import Topics
from schemas.transcript import StreamWarning
from subscriber.reader import TranscriptReader
from transport.acls import Role, acls
from transport.authorization import authorization_problem
from transport.client import client_arguments
from transport.cluster import check_topics, create_topics
from transport.errors import AccessDenied
from transport.security import Security
from transport.start import Edge
from transport.topic_reader import ReaderError

WARNING = StreamWarning(stream_id="s", session_id="0-0", index=0, time_ms=0, message="hello")


@pytest.fixture
def user(secure_kafka: SecureKafka) -> Callable[[str], dict[str, Any]]:
    """Return the address and login of a user as keyword arguments."""

    def user(name: str) -> dict[str, Any]:
        return {"bootstrap": secure_kafka.sasl_tls, "security": secure_kafka.security(name)}

    return user


User = Callable[[str], dict[str, Any]]


async def publish(topics: Topics, **user: Any) -> None:
    async with AudioPublisher(topic=topics.audio, **user) as publisher:
        await publisher.send(AudioChunk("call-1", b"xx"))
        await publisher.flush()


async def read(topics: Topics, **user: Any) -> StreamWarning:
    async with (
        asyncio.timeout(20),
        TranscriptReader(topic=topics.transcripts, start=Edge.BEGINNING, **user) as reader,
    ):
        async for event in reader:
            assert isinstance(event, StreamWarning)
            return event
    raise AssertionError


@asynccontextmanager
async def transaction(
    bootstrap: str, security: Security, name: str
) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer within a transaction, as the worker has."""
    arguments = await asyncio.to_thread(client_arguments, security)
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id=name, request_timeout_ms=5_000, **arguments
    )
    try:
        await producer.start()
        async with producer.transaction():
            yield producer
    finally:
        await producer.stop()


async def test_each_role_has_the_rights_that_it_needs(guarded: Topics, user: User) -> None:
    await publish(guarded, **user("publisher"))
    assert await check_topics(topics=guarded, **user("worker")) == []
    async with transaction(**user("worker"), name=f"stt.{GROUP}.x.0") as producer:
        record = encode_event(WARNING)
        await producer.send_and_wait(
            guarded.transcripts, record.value, record.key, headers=record.headers
        )
        await producer.send_and_wait(guarded.state, b"progress", b"key")
    assert await read(guarded, **user("reader")) == WARNING
    assert await create_topics(topics=guarded, **user("operator")) == []


async def test_a_worker_may_join_its_group_and_read_audio(
    secure_kafka: SecureKafka, guarded: Topics, user: User
) -> None:
    await publish(guarded, **user("publisher"))
    consumer = AIOKafkaConsumer(
        guarded.audio,
        bootstrap_servers=secure_kafka.sasl_tls,
        group_id=GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,  # other tests' workers of this group would start at the offset
        **client_arguments(secure_kafka.security("worker")),
    )
    async with asyncio.timeout(20), consumer:
        assert (await consumer.getone()).value == b"xx"


async def test_a_publisher_without_rights_gets_the_topic_in_the_error(
    guarded: Topics, user: User
) -> None:
    with pytest.raises(PublishError) as raised:
        await publish(guarded, **user("guest"))
    message = str(raised.value)
    assert message.startswith(f"{guarded.audio} at ")
    assert "user guest may not use the cluster, nor write to any topic: `streamscribe ac" in message


async def test_a_publisher_of_a_hidden_topic_gets_the_topic_in_the_error(
    guarded: Topics, user: User
) -> None:
    with pytest.raises(PublishError, match=r"no topic other\.audio\.v1: .* or grant user publi"):
        await publish(Topics("other"), **user("publisher"))


async def test_a_publisher_that_may_only_describe_gets_the_topic_in_the_error(
    secure_kafka: SecureKafka, guarded: Topics, user: User
) -> None:
    with pytest.raises(PublishError) as raised:
        await publish(guarded, **user("worker"))
    message = str(raised.value)
    assert f"user worker may not use the topic {guarded.audio}: `streamscribe acls`" in message
    assert "\n" not in message


async def test_a_reader_without_rights_gets_the_topic_in_the_error(
    guarded: Topics, user: User
) -> None:
    with pytest.raises(ReaderError, match=f"no topic {guarded.transcripts}: .*streamscribe acls"):
        await read(guarded, **user("publisher"))
    with pytest.raises(ReaderError, match=f"worker may not use the topic {guarded.transcripts}"):
        await read(guarded, **user("worker"))


async def test_topics_that_may_not_be_described_are_listed_in_the_error(
    guarded: Topics, user: User
) -> None:
    with pytest.raises(AccessDenied) as raised:
        await check_topics(topics=guarded, **user("guest"))
    named = ", ".join(sorted(guarded))
    assert str(raised.value).startswith(f"user guest may not use the topic {named}: `stream")
    with pytest.raises(AccessDenied) as raised:
        await check_topics(topics=guarded, **user("publisher"))
    assert f"user publisher may not use the topic {named}: " in str(raised.value)


async def test_forbidden_transactional_ids_and_groups_are_named(
    secure_kafka: SecureKafka, guarded: Topics, user: User
) -> None:
    security = secure_kafka.security("worker")
    with pytest.raises(KafkaError) as raised:
        async with transaction(**user("worker"), name="stt.day.x.0"):
            pass
    assert "may not use the transactional id stt.day.x.0:" in str(
        authorization_problem(raised.value, security)
    )
    consumer = AIOKafkaConsumer(
        guarded.audio,
        bootstrap_servers=secure_kafka.sasl_tls,
        group_id="day",
        **client_arguments(security),
    )
    with pytest.raises(GroupAuthorizationFailedError) as raised:
        await consumer.start()
    await consumer.stop()
    assert "user worker may not use the group day:" in str(
        authorization_problem(raised.value, security)
    )


def test_an_error_about_several_topics_is_one_line() -> None:
    error = TopicAuthorizationFailedError({"b", "a"})
    assert authorization_problem(error, Security()) == (
        "an anonymous client may not use the topic a, b:"
        " `streamscribe acls` lists and grants the rights"
    )
    assert authorization_problem(KafkaError("else"), Security()) is None


@pytest.fixture
def environment(
    secure_kafka: SecureKafka, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], None]]:
    """Return a function that sets the commands' environment to the login of a user."""

    def become(user: str) -> None:
        security = secure_kafka.security(user)
        for name in ("security_protocol", "tls_ca_file", "sasl_username", "sasl_password_file"):
            monkeypatch.setenv(f"STREAMSCRIBE_{name.upper()}", getattr(security, name))

    return become


def test_the_acls_command_lists_and_grants(
    secure_kafka: SecureKafka,
    prefix: str,
    environment: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    role = ("publisher", "User:phone", "--prefix", prefix)
    topics = Topics(prefix)
    listed = [acl.command("User:phone") for acl in acls(Role.PUBLISHER, topics, "")]
    assert main([*role]) == 0
    assert capsys.readouterr().out.splitlines() == listed
    assert main([*role, "--grant", "--bootstrap", secure_kafka.bootstrap]) == 0
    assert capsys.readouterr().err == "granted to User:phone\n"
    environment("worker")
    assert main([*role, "--grant", "--bootstrap", secure_kafka.sasl_tls]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamscribe acls: Kafka rejects the grant on {topics.audio}: ")


COMMANDS = {
    "acls": (main, ["reader", "User:a", "--grant"]),
    "publish": (producer.__main__.main, ["-"]),
    "tail": (subscriber.__main__.main, []),
    "topics": (admin.topics.main, ["check"]),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_invalid_security_settings_are_a_usage_error(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMSCRIBE_SECURITY_PROTOCOL", "TLS")
    run, arguments = COMMANDS[command]
    try:
        code = run(arguments)
    except SystemExit as raised_exit:  # by argparse
        code = raised_exit.code
    assert code == 2
    assert "STREAMSCRIBE_SECURITY_PROTOCOL='TLS': must be one of" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["acls", "publish", "tail", "topics"])
def test_a_wrong_password_is_a_one_line_error(
    command: str,
    secure_kafka: SecureKafka,
    environment: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment("worker")
    wrong = secure_kafka.file("wrong", "wrong-battery-91c2")
    monkeypatch.setenv("STREAMSCRIBE_SASL_PASSWORD_FILE", wrong)
    run, arguments = COMMANDS[command]
    assert run([*arguments, "--bootstrap", secure_kafka.sasl_tls]) == 1
    output = capsys.readouterr()
    (line,) = output.err.splitlines()
    assert line.startswith(f"streamscribe {command}: Kafka at {secure_kafka.sasl_tls} rejects user")
    assert "wrong-battery" not in output.out


@pytest.mark.parametrize("principal", ["phone", "User:", "User:a b"])
def test_an_invalid_principal_is_a_usage_error(principal: str) -> None:
    with pytest.raises(SystemExit) as raised_exit:
        main(["publisher", principal])
    assert raised_exit.value.code == 2
