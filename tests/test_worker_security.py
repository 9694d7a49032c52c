"""A worker and a broker with TLS, SASL and ACLs: its errors name the cause and show no secret.

Most workers run in this process, with the chaos bench's engine in place of Whisper.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
import structlog
import trustme
from fixtures_security import GROUP
from secure_kafka import PASSWORD, SecureKafka
from secure_kafka import RIGHTS as USERS_RIGHTS

from admin.acls import grant
from bench.robustness.chaos.oracle import Oracle, OracleMode
from consumer import logs
from consumer.errors import ConfigError
from consumer.service import Factories, serve
from consumer.settings import LogFormat, Settings, from_environment
from schemas.topics import Topics
from transport.acls import Acl, Role, acls
from transport.security import SaslMechanism, Security

WITHIN_S = 10.0
PARTITIONS = 2  # one of each audio topic
WRONG = "wrong-battery-91c2"


def environment(topics: Topics, at: str, security: Security) -> dict[str, str]:
    settings = {f.name: str(getattr(security, f.name)) for f in fields(Security)}
    settings |= {
        "bootstrap": at,
        "prefix": topics.prefix,
        "group": GROUP,
        "http_port": "0",
        "log_format": "json",
        "log_level": "debug",
    }
    return {f"STREAMSCRIBE_{name.upper()}": text for name, text in settings.items()}


async def work(settings: Settings, ready: asyncio.Event) -> None:
    """Run a worker until it is cancelled or fails; raise its error without the exception group."""
    try:
        await serve(
            settings, asyncio.Event(), ready, Factories(transcriber=lambda _: Oracle(OracleMode()))
        )
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group


RIGHTS = list(acls(Role.WORKER, Topics("guarded"), GROUP))


@pytest.fixture(scope="module")
def guarded_workers(secure_kafka: SecureKafka, guarded: Topics) -> Topics:
    """The topics of the secure broker, which has one user for each right that a worker may lack."""
    for number, missing in enumerate(RIGHTS):
        kept = [acl for acl in RIGHTS if acl != missing]
        asyncio.run(grant(secure_kafka.bootstrap, Security(), f"User:without-{number}", kept))
    return guarded


@pytest.fixture
def output() -> Iterator[StringIO]:
    """The log of a worker at level DEBUG."""
    root, log = logging.getLogger(), StringIO()
    handlers, level = root.handlers, root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    logs.configure(LogFormat.JSON, "debug", log)
    yield log
    root.handlers = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


async def error_of(environ: Mapping[str, str], output: StringIO) -> str:
    """Return the error that ends a worker, or halts its partitions, within 10 s."""
    working = asyncio.create_task(work(from_environment(environ), asyncio.Event()))
    async with asyncio.timeout(WITHIN_S):
        # Wait for all partitions: the close of one must not be cancelled.
        while not working.done() and len(halts(output)) < PARTITIONS:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.05)
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
        return halts(output)[0]
    with pytest.raises(ConfigError) as raised:
        await working
    return str(raised.value)


def halts(output: StringIO) -> list[str]:
    """Return the errors in the log that halted a partition."""
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    return [line["error"] for line in lines if line["event"] == "partition halted"]


def test_the_broker_has_a_user_for_each_missing_right() -> None:
    assert len(RIGHTS) == USERS_RIGHTS


@pytest.mark.parametrize(
    ("number", "acl"),
    list(enumerate(RIGHTS)),
    ids=[f"{acl.operation} {acl.name}" for acl in RIGHTS],
)
async def test_the_error_for_a_missing_right_names_the_resource(
    number: int, acl: Acl, secure_kafka: SecureKafka, guarded_workers: Topics, output: StringIO
) -> None:
    security = secure_kafka.security(f"without-{number}")
    environ = environment(guarded_workers, secure_kafka.sasl_tls, security)
    error = await error_of(environ, output)
    assert acl.name in error
    assert "\n" not in error
    assert PASSWORD not in output.getvalue()


def wrong_password(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), sasl_password_file=kafka.file("wrong", WRONG))


def wrong_plain_password(kafka: SecureKafka) -> Security:
    return replace(wrong_password(kafka), sasl_mechanism=SaslMechanism.PLAIN)


def wrong_token(kafka: SecureKafka) -> Security:
    security = kafka.security("worker", SaslMechanism.OAUTHBEARER)
    return replace(security, sasl_token_file=kafka.file("wrong", WRONG))


def wrong_authority(kafka: SecureKafka) -> Security:
    stranger = trustme.CA().cert_pem.bytes().decode()
    return replace(kafka.security("worker"), tls_ca_file=kafka.file("stranger-ca.pem", stranger))


def unknown_certificate(kafka: SecureKafka) -> Security:
    return replace(
        kafka.certified("worker"), tls_cert_file=kafka.certificate("stranger", trustme.CA())
    )


def expired_certificate(kafka: SecureKafka) -> Security:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    expired = kafka.certificate("expired", until=yesterday)
    return replace(kafka.certified("worker"), tls_cert_file=expired)


@pytest.mark.parametrize(
    ("make", "setting"),
    [
        (wrong_password, "SASL_PASSWORD_FILE"),
        (wrong_plain_password, "SASL_PASSWORD_FILE"),
        (wrong_token, "SASL_TOKEN_FILE"),
        (wrong_authority, "TLS_CA_FILE"),
        (unknown_certificate, "TLS_CERT_FILE"),
        (expired_certificate, "TLS_CERT_FILE"),
    ],
)
async def test_the_error_for_a_wrong_secret_names_its_setting_but_not_the_secret(
    make: Callable[[SecureKafka], Security],
    setting: str,
    secure_kafka: SecureKafka,
    guarded: Topics,
    output: StringIO,
) -> None:
    security = make(secure_kafka)
    at = secure_kafka.sasl_tls if security.security_protocol.sasl else secure_kafka.mutual_tls
    error = await error_of(environment(guarded, at, security), output)
    assert error.startswith(f"Kafka at {at}")
    assert f"STREAMSCRIBE_{setting}" in error
    assert "\n" not in error
    for secret in (WRONG, PASSWORD, "PRIVATE KEY"):
        assert secret not in error + output.getvalue()


@asynccontextmanager
async def worker(environ: Mapping[str, str], folder: Path) -> AsyncIterator[tuple[Process, Path]]:
    """Run a worker as a child process; yield it and the path of its log."""
    log = folder / "worker.log"
    command = (sys.executable, "-m", "bench.robustness.chaos.worker")
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=file, stderr=file, env=os.environ | environ
        )
    try:
        async with asyncio.timeout(180):  # importing torch may take minutes on a busy machine
            yield process, log
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_worker_with_all_rights_starts_and_logs_no_secret(
    secure_kafka: SecureKafka, guarded: Topics, tmp_path: Path
) -> None:
    async with worker(
        environment(guarded, secure_kafka.sasl_tls, secure_kafka.security("worker")), tmp_path
    ) as (process, log):
        while log.read_text().count("partition opened") < 2:
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    logged = log.read_text()
    assert '"event": "stopped"' in logged
    assert PASSWORD not in logged


async def test_a_wrong_password_is_a_one_line_error_without_the_password(
    secure_kafka: SecureKafka, guarded: Topics, tmp_path: Path
) -> None:
    environ = environment(guarded, secure_kafka.sasl_tls, secure_kafka.security("worker"))
    environ["STREAMSCRIBE_SASL_PASSWORD_FILE"] = secure_kafka.file("wrong", WRONG)
    async with worker(environ, tmp_path) as (process, log):
        assert await process.wait() == 2
    output = log.read_text()
    (line,) = (line for line in output.splitlines() if line.startswith("streamscribe worker: "))
    assert line.startswith(
        f"streamscribe worker: Kafka at {secure_kafka.sasl_tls} rejects user worker (SCRAM-SHA-512)"
    )
    assert "STREAMSCRIBE_SASL_PASSWORD_FILE" in line
    assert WRONG not in output
