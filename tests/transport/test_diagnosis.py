"""Every way to be let in, and to be kept out, at a real broker: one line says what to look at."""

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
At = Callable[[SecureKafka], str]


@pytest.fixture(autouse=True)
def ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transport.diagnosis._CONFIRM_S", 0.0)


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """At the level at which the commands run aiokafka; DEBUG would print what it sends."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "aiokafka")
    yield
    assert PASSWORD not in caplog.text
    assert WRONG not in caplog.text


@pytest.mark.parametrize("mechanism", SaslMechanism)
async def test_whoever_logs_in_is_admitted(
    secure_kafka: SecureKafka, mechanism: SaslMechanism
) -> None:
    security = secure_kafka.security("worker", mechanism)
    arguments = await verify_access(secure_kafka.sasl_tls, security)
    assert arguments["sasl_mechanism"] == mechanism


async def test_a_certificate_is_a_login(secure_kafka: SecureKafka) -> None:
    assert await diagnose(secure_kafka.mutual_tls, secure_kafka.certified("worker")) is None


async def test_scram_needs_no_tls(secure_kafka: SecureKafka) -> None:
    security = replace(
        secure_kafka.security("worker"), security_protocol=SecurityProtocol.SASL_PLAINTEXT
    )
    assert await diagnose(secure_kafka.sasl_open, security) is None


@pytest.mark.parametrize("mechanism", SaslMechanism)
async def test_a_wrong_secret_names_the_setting_and_the_user(
    secure_kafka: SecureKafka, mechanism: SaslMechanism
) -> None:
    wrong = secure_kafka.file("wrong", WRONG)
    security = replace(
        secure_kafka.security("worker", mechanism), sasl_password_file=wrong, sasl_token_file=wrong
    )
    with pytest.raises(AccessDenied) as refused:
        await verify_access(secure_kafka.sasl_tls, security)
    told = str(refused.value)
    assert told.startswith(f"Kafka at {secure_kafka.sasl_tls} refuses {security.user} ")
    setting = "TOKEN" if mechanism is SaslMechanism.OAUTHBEARER else "PASSWORD"
    assert f"STREAMSCRIBE_SASL_{setting}_FILE" in told
    assert "\n" not in told
    assert WRONG not in told


def without_authority(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), tls_ca_file="")


def without_tls(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), security_protocol=SecurityProtocol.SASL_PLAINTEXT)


def without_login(kafka: SecureKafka) -> Security:
    return replace(kafka.security("worker"), security_protocol=SecurityProtocol.SSL)


def without_certificate(kafka: SecureKafka) -> Security:
    return replace(kafka.certified("worker"), tls_cert_file="")


def with_a_stranger_s_certificate(kafka: SecureKafka) -> Security:
    return replace(
        kafka.certified("worker"), tls_cert_file=kafka.certificate("stranger", trustme.CA())
    )


@pytest.mark.parametrize(
    ("at", "make", "told"),
    [
        (lambda k: k.sasl_tls, without_authority, "its certificate is not trusted (unable to get"),
        (
            lambda k: k.sasl_tls.replace("127.0.0.1", "localhost"),
            lambda k: k.security("worker"),
            "its certificate is not trusted (Hostname mismatch",
        ),
        (lambda k: k.sasl_tls, lambda _: Security(), "takes STREAMSCRIBE_SECURITY_PROTOCOL=PLAIN"),
        (lambda k: k.sasl_open, lambda _: Security(), "takes STREAMSCRIBE_SECURITY_PROTOCOL=PLAIN"),
        (lambda k: k.sasl_tls, without_login, "takes STREAMSCRIBE_SECURITY_PROTOCOL=SSL"),
        (lambda k: k.bootstrap, without_tls, "takes STREAMSCRIBE_SECURITY_PROTOCOL=SASL_PLAIN"),
        (
            lambda k: k.bootstrap,
            lambda k: k.security("worker"),
            "STREAMSCRIBE_SECURITY_PROTOCOL=SASL_SSL",
        ),
        (lambda k: k.mutual_tls, without_certificate, "STREAMSCRIBE_TLS_CERT_FILE if it asks"),
        (
            lambda k: k.mutual_tls,
            with_a_stranger_s_certificate,
            "STREAMSCRIBE_TLS_CERT_FILE if it asks",
        ),
    ],
)
async def test_what_keeps_us_out_is_told(
    secure_kafka: SecureKafka, at: At, make: Callable[[SecureKafka], Security], told: str
) -> None:
    trouble = await diagnose(at(secure_kafka), make(secure_kafka))
    assert trouble is not None
    assert trouble.problem.startswith("Kafka at ")
    assert told in trouble.problem
    assert trouble.lasting


async def test_a_broker_that_is_not_there_may_come(secure_kafka: SecureKafka) -> None:
    (port,) = free_ports(1)
    security = secure_kafka.security("worker")
    trouble = await diagnose(f"127.0.0.1:{port}", security)
    assert trouble is not None
    assert not trouble.lasting
    both = f"127.0.0.1:{port},{secure_kafka.sasl_tls}"
    assert await diagnose(both, security) is None
    assert await verify_access(f"127.0.0.1:{port}", security)
