"""Accepted and rejected logins at a real broker; each rejection is one line with what to check."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import trustme
from secure_kafka import PASSWORD, SecureKafka

from devstack.ports import free_ports
from transport.diagnosis import diagnose, verify_access
from transport.errors import AccessDenied
from transport.security import SaslMechanism, Security, SecurityProtocol

WRONG = "wrong-battery-91c2"
Address = Callable[[SecureKafka], str]


@pytest.fixture(autouse=True)
def confirm_without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.diagnosis._CONFIRM_S", 0.0)


@pytest.fixture(autouse=True)
def fail_if_a_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a secret is logged; aiokafka is at INFO, because it logs secrets at DEBUG."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "aiokafka")
    yield
    assert PASSWORD not in caplog.text
    assert WRONG not in caplog.text


@pytest.mark.parametrize("mechanism", SaslMechanism)
async def test_every_sasl_mechanism_is_accepted_by_the_broker(
    secure_kafka: SecureKafka, mechanism: SaslMechanism
) -> None:
    security = secure_kafka.security("worker", mechanism)
    arguments = await verify_access(secure_kafka.sasl_tls, security)
    assert arguments["sasl_mechanism"] == mechanism


async def test_a_client_certificate_is_accepted_by_the_broker(secure_kafka: SecureKafka) -> None:
    assert await diagnose(secure_kafka.mutual_tls, secure_kafka.certified("worker")) is None


async def test_scram_works_without_tls(secure_kafka: SecureKafka) -> None:
    security = replace(
        secure_kafka.security("worker"), security_protocol=SecurityProtocol.SASL_PLAINTEXT
    )
    assert await diagnose(secure_kafka.sasl_open, security) is None


@pytest.mark.parametrize("mechanism", SaslMechanism)
async def test_a_wrong_secret_is_reported_with_its_setting_and_user(
    secure_kafka: SecureKafka, mechanism: SaslMechanism
) -> None:
    wrong = secure_kafka.file("wrong", WRONG)
    security = replace(
        secure_kafka.security("worker", mechanism), sasl_password_file=wrong, sasl_token_file=wrong
    )
    with pytest.raises(AccessDenied) as raised:
        await verify_access(secure_kafka.sasl_tls, security)
    message = str(raised.value)
    assert message.startswith(f"Kafka at {secure_kafka.sasl_tls} rejects {security.user} ")
    setting = "TOKEN" if mechanism is SaslMechanism.OAUTHBEARER else "PASSWORD"
    assert f"STREAMSCRIBE_SASL_{setting}_FILE" in message
    assert "\n" not in message
    assert WRONG not in message


def without_authority(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), tls_ca_file="")


def without_tls(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), security_protocol=SecurityProtocol.SASL_PLAINTEXT)


def without_login(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), security_protocol=SecurityProtocol.SSL)


def without_certificate(kafka: SecureKafka) -> Security:
    return replace(kafka.certified("worker"), tls_cert_file="")


def with_unknown_authority(kafka: SecureKafka) -> Security:
    return replace(
        kafka.certified("worker"), tls_cert_file=kafka.certificate("stranger", trustme.CA())
    )


@pytest.mark.parametrize(
    ("address", "make", "message"),
    [
        (lambda k: k.sasl_tls, without_authority, "its certificate is not trusted (unable to get"),
        (
            lambda k: k.sasl_tls.replace("127.0.0.1", "localhost"),
            lambda k: k.security("worker"),
            "its certificate is not trusted (Hostname mismatch",
        ),
        (lambda k: k.sasl_tls, lambda _: Security(), "expects STREAMSCRIBE_SECURITY_PROTOCOL=PLA"),
        (lambda k: k.sasl_open, lambda _: Security(), "expects STREAMSCRIBE_SECURITY_PROTOCOL=PLA"),
        (lambda k: k.sasl_tls, without_login, "expects STREAMSCRIBE_SECURITY_PROTOCOL=SSL"),
        (lambda k: k.bootstrap, without_tls, "expects STREAMSCRIBE_SECURITY_PROTOCOL=SASL_PLAIN"),
        (
            lambda k: k.bootstrap,
            lambda k: k.security("worker"),
            "STREAMSCRIBE_SECURITY_PROTOCOL=SASL_SSL",
        ),
        (lambda k: k.mutual_tls, without_certificate, "STREAMSCRIBE_TLS_CERT_FILE if it requires"),
        (
            lambda k: k.mutual_tls,
            with_unknown_authority,
            "STREAMSCRIBE_TLS_CERT_FILE if it requires",
        ),
    ],
)
async def test_a_wrong_setting_is_diagnosed_as_a_lasting_problem(
    secure_kafka: SecureKafka,
    address: Address,
    make: Callable[[SecureKafka], Security],
    message: str,
) -> None:
    diagnosis = await diagnose(address(secure_kafka), make(secure_kafka))
    assert diagnosis is not None
    assert diagnosis.problem.startswith("Kafka at ")
    assert message in diagnosis.problem
    assert diagnosis.lasting


async def test_an_absent_broker_is_not_a_lasting_problem(secure_kafka: SecureKafka) -> None:
    (port,) = free_ports(1)
    security = secure_kafka.security("worker")
    diagnosis = await diagnose(f"127.0.0.1:{port}", security)
    assert diagnosis is not None
    assert not diagnosis.lasting
    both = f"127.0.0.1:{port},{secure_kafka.sasl_tls}"
    assert await diagnose(both, security) is None
    assert await verify_access(f"127.0.0.1:{port}", security)
