"""The worker at a broker that lets in and allows no more than it must: what it says, and what not.

The rights are tried in this process, with the chaos bench's engine in place of Whisper.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest
import structlog
from fixtures_security import GROUP
from secure_kafka import PASSWORD, WITHOUT, SecureKafka

from bench.chaos.oracle import Mood, Oracle
from consumer.errors import ConfigError
from consumer.kafka.acl_admin import grant
from consumer.service import serve
from consumer.settings import Settings, from_environment
from schemas.acls import Acl, Operation, Resource, Role, acls
from schemas.security import Security
from schemas.topics import Topics

WITHIN_S = 10.0
WRONG = "wrong-battery-91c2"


def environment(kafka: SecureKafka, topics: Topics, user: str) -> dict[str, str]:
    security = kafka.security(user)
    settings = {f.name: str(getattr(security, f.name)) for f in fields(Security)}
    settings |= {
        "bootstrap": kafka.sasl_tls,
        "prefix": topics.prefix,
        "group": GROUP,
        "http_port": "0",
        "log_format": "json",
        "log_level": "debug",
    }
    return {f"STREAMSCRIBE_{name.upper()}": text for name, text in settings.items()}


async def work(settings: Settings, ready: asyncio.Event) -> None:
    """For ever; whatever ends it is raised as it is."""
    try:
        await serve(settings, asyncio.Event(), ready, load=lambda _: Oracle(Mood()))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


def lacks(right: str, acl: Acl, topics: Topics) -> bool:
    names = {
        "audio": topics.audio,
        "dlq": topics.audio_dlq,
        "state": topics.state,
        "transcripts": topics.transcripts,
    }
    match right:
        case "group":
            return acl.resource is Resource.GROUP
        case "ids":
            return acl.resource is Resource.TRANSACTIONAL_ID
        case "configs":
            return acl.operation is Operation.DESCRIBE_CONFIGS
        case _:
            return acl.name == names[right] and acl.operation in {Operation.READ, Operation.WRITE}


@pytest.fixture(scope="module")
def guarded_workers(secure_kafka: SecureKafka, guarded: Topics) -> Topics:
    """With a user for every right that a worker may lack."""
    for right in WITHOUT:
        rights = acls(Role.WORKER, guarded, GROUP)
        kept = [acl for acl in rights if not lacks(right, acl, guarded)]
        principal = f"User:without-{right}"
        asyncio.run(grant(secure_kafka.bootstrap, Security(), principal, kept))
    return guarded


@pytest.fixture
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.mark.parametrize(
    ("right", "resource"),
    [
        ("audio", "the topic guarded.audio.v1:"),
        ("configs", "guarded.transcripts.v1"),
        ("dlq", "the topic guarded.audio.dlq.v1:"),
        ("group", "GroupAuthorizationFailedError: night"),
        ("state", "the topic guarded.state.v1:"),
        ("transcripts", "the topic guarded.transcripts.v1:"),
    ],
)
async def test_a_right_that_is_missing_names_its_resource(
    right: str, resource: str, secure_kafka: SecureKafka, guarded_workers: Topics
) -> None:
    environ = environment(secure_kafka, guarded_workers, f"without-{right}")
    with pytest.raises(ConfigError) as refused:
        async with asyncio.timeout(WITHIN_S):
            await work(from_environment(environ), asyncio.Event())
    assert resource in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_transactions_that_are_not_allowed_halt_the_partition(
    secure_kafka: SecureKafka, guarded_workers: Topics, logs: list[structlog.typing.EventDict]
) -> None:
    settings = from_environment(environment(secure_kafka, guarded_workers, "without-ids"))
    working = asyncio.create_task(work(settings, asyncio.Event()))
    async with asyncio.timeout(WITHIN_S):
        while "partition halted" not in {log["event"] for log in logs}:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    working.cancel()
    await asyncio.wait({working})
    halted = next(log for log in logs if log["event"] == "partition halted")
    assert f"opening transactions of stt.{GROUP}.guarded." in halted["why"]


@asynccontextmanager
async def worker(environ: Mapping[str, str], folder: Path) -> AsyncIterator[tuple[Process, Path]]:
    """As a process of its own; its log."""
    log = folder / "worker.log"
    command = (sys.executable, "-m", "bench.chaos.worker", "--control", str(folder / "control"))
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=file, stderr=file, env=os.environ | environ
        )
    try:
        async with asyncio.timeout(180):  # importing torch, on a busy machine
            yield process, log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_whoever_has_all_rights_works_and_says_no_secret(
    secure_kafka: SecureKafka, guarded: Topics, tmp_path: Path
) -> None:
    async with worker(environment(secure_kafka, guarded, "worker"), tmp_path) as (process, log):
        while log.read_text().count("partition opened") < 2:
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    said = log.read_text()
    assert '"event": "stopped"' in said
    assert PASSWORD not in said


async def test_a_wrong_password_is_one_line_and_never_shown(
    secure_kafka: SecureKafka, guarded: Topics, tmp_path: Path
) -> None:
    environ = environment(secure_kafka, guarded, "worker")
    environ["STREAMSCRIBE_SASL_PASSWORD_FILE"] = secure_kafka.file("wrong", WRONG)
    async with worker(environ, tmp_path) as (process, log):
        assert await process.wait() == 2
    said = log.read_text()
    (line,) = (line for line in said.splitlines() if line.startswith("streamscribe worker: "))
    assert line.startswith(
        f"streamscribe worker: Kafka at {secure_kafka.sasl_tls} refuses user worker (SCRAM-SHA-512)"
    )
    assert "STREAMSCRIBE_SASL_PASSWORD_FILE" in line
    assert WRONG not in said
