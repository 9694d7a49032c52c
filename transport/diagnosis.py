"""Find out why Kafka cannot be used, which aiokafka's clients do not raise but only log."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from transport.client import client_arguments
from transport.environment import variable
from transport.errors import AccessDenied
from transport.security import SaslMechanism, Security

_TIMEOUT_MS = 3_000  # of each step, at each broker
_CONFIRM_S = 0.5  # until a lasting problem is checked a second time
_CLOSE_S = 0.2
_PROTOCOL, _MECHANISM = variable("security_protocol"), variable("sasl_mechanism")


class Diagnosis(NamedTuple):
    """Why Kafka cannot be used."""

    problem: str  # one line with the next step, without secrets
    lasting: bool  # settings, secrets or the brokers must change: waiting does not help


async def verify_access(bootstrap: str, security: Security) -> dict[str, Any]:
    """Return the clients' arguments if a broker accepts them, or if none answers now.

    Raises AccessDenied if waiting would not help.
    """
    diagnosis = await diagnose(bootstrap, security)
    if diagnosis is not None and diagnosis.lasting:
        raise AccessDenied(diagnosis.problem)
    return await asyncio.to_thread(client_arguments, security)


async def diagnose(bootstrap: str, security: Security) -> Diagnosis | None:
    """Return the problem with the first broker that can be reached, or None if it has none."""
    try:
        arguments = await asyncio.to_thread(client_arguments, security)
    except AccessDenied as error:
        return Diagnosis(str(error), lasting=True)
    diagnosis = await _probe_all(bootstrap, security, arguments)
    if diagnosis is not None and diagnosis.lasting:  # or a broker is just starting or stopping
        await asyncio.sleep(_CONFIRM_S)
        diagnosis = await _probe_all(bootstrap, security, arguments)
    return diagnosis


async def _probe_all(
    bootstrap: str, security: Security, arguments: dict[str, Any]
) -> Diagnosis | None:
    try:
        hosts = collect_hosts(bootstrap, randomize=False)
    except ValueError:
        return Diagnosis(f"{bootstrap} is not host:port, or several of them", lasting=False)
    diagnosis = None
    for host, port, _ in hosts:
        diagnosis = await _probe(host, port, security, arguments)
        if diagnosis is None or diagnosis.lasting:
            break
    return diagnosis


async def _probe(
    host: str, port: int, security: Security, arguments: dict[str, Any]
) -> Diagnosis | None:
    """Connect to one broker and send the first request that needs a login."""
    where = f"Kafka at {host}:{port}"
    connection = AIOKafkaConnection(host, port, request_timeout_ms=_TIMEOUT_MS, **arguments)
    try:
        await connection.connect()
        metadata = await connection.send(MetadataRequest([]))
    except (OSError, KafkaError, asyncio.IncompleteReadError) as error:  # a timeout is an OSError
        return describe(error, where, security)
    finally:
        await asyncio.wait({connection.close()}, timeout=_CLOSE_S)  # for TLS to shut down
    # aiokafka does not notice a rejected token; the response then is no broker's metadata.
    rejected = security.security_protocol.sasl and not metadata.brokers
    return _login_rejected(where, security) if rejected else None


def describe(error: BaseException, where: str, security: Security) -> Diagnosis:
    """Return the meaning of a connection's error; `where`: the broker, for the message."""
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate_rejected(error, where, security)
        case UnsupportedSaslMechanismError():
            problem = f"{where} does not support {security.sasl_mechanism}: set {_MECHANISM}"
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return _login_rejected(where, security)
        case ssl.SSLError():
            problem = (
                f"{where}: TLS failed ({error.reason or 'not understood'}): check the port and"
                f" {_PROTOCOL}={security.security_protocol}"
            )
        case (
            IllegalSaslStateError()
            | KafkaConnectionError()
            | ConnectionResetError()
            | asyncio.IncompleteReadError()
        ):
            problem = (
                f"{where} closed the connection: check that this port expects {_PROTOCOL}"
                f"={security.security_protocol}, and set {variable('tls_cert_file')} if it requires"
                " a certificate"
            )
        case _:
            return Diagnosis(f"{where} does not answer ({type(error).__name__})", lasting=False)
    return Diagnosis(problem, lasting=True)


def _certificate_rejected(
    error: ssl.SSLCertVerificationError, where: str, security: Security
) -> Diagnosis:
    trusted = security.tls_ca_file or "the system's authorities"
    return Diagnosis(
        f"{where}: its certificate is not trusted ({error.verify_message}): check the name in"
        f" --bootstrap and {variable('tls_ca_file')} ({trusted})",
        lasting=True,
    )


def _login_rejected(where: str, security: Security) -> Diagnosis:
    mechanism = security.sasl_mechanism
    bearer = mechanism is SaslMechanism.OAUTHBEARER
    secret = variable("sasl_token_file" if bearer else "sasl_password_file")
    return Diagnosis(
        f"{where} rejects {security.user} ({mechanism}): check the name and the content of"
        f" {secret}",
        lasting=True,
    )
