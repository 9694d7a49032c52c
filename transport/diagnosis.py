"""Why Kafka cannot be used: asked when a client failed, for aiokafka hides it in its logs."""

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
_CONFIRM_S = 0.5  # until it is asked again
_CLOSE_S = 0.2
_PROTOCOL, _MECHANISM = variable("security_protocol"), variable("sasl_mechanism")


class Diagnosis(NamedTuple):
    """Why Kafka cannot be used."""

    problem: str  # one line, without secrets
    lasting: bool  # settings, secrets or the brokers must change: waiting does not help


async def verify_access(bootstrap: str, security: Security) -> dict[str, Any]:
    """The clients' arguments, once the brokers have let us in with them, or do not answer now.

    Raises AccessDenied where waiting would not help.
    """
    trouble = await diagnose(bootstrap, security)
    if trouble is not None and trouble.lasting:
        raise AccessDenied(trouble.problem)
    return await asyncio.to_thread(client_arguments, security)


async def diagnose(bootstrap: str, security: Security) -> Diagnosis | None:
    """What the first broker says that can be reached; None: all is well with it now."""
    try:
        arguments = await asyncio.to_thread(client_arguments, security)
    except AccessDenied as error:
        return Diagnosis(str(error), lasting=True)
    trouble = await _ask_all(bootstrap, security, arguments)
    if trouble is not None and trouble.lasting:  # or so it looks while a broker starts or ends
        await asyncio.sleep(_CONFIRM_S)
        trouble = await _ask_all(bootstrap, security, arguments)
    return trouble


async def _ask_all(
    bootstrap: str, security: Security, arguments: dict[str, Any]
) -> Diagnosis | None:
    try:
        hosts = collect_hosts(bootstrap, randomize=False)
    except ValueError:
        return Diagnosis(f"{bootstrap} is not host:port, or several of them", lasting=False)
    trouble = None
    for host, port, _ in hosts:
        trouble = await _ask(host, port, security, arguments)
        if trouble is None or trouble.lasting:
            break
    return trouble


async def _ask(
    host: str, port: int, security: Security, arguments: dict[str, Any]
) -> Diagnosis | None:
    where = f"Kafka at {host}:{port}"
    connection = AIOKafkaConnection(host, port, request_timeout_ms=_TIMEOUT_MS, **arguments)
    try:
        await connection.connect()
        metadata = await connection.send(MetadataRequest([]))  # the first that needs a login
    except (OSError, KafkaError, asyncio.IncompleteReadError) as error:  # a timeout is an OSError
        return describe(error, where, security)
    finally:
        await asyncio.wait({connection.close()}, timeout=_CLOSE_S)  # TLS says goodbye
    # aiokafka takes a refused token for a login; what answers then is no broker's metadata.
    refused = security.security_protocol.sasl and not metadata.brokers
    return _login(where, security) if refused else None


def describe(error: BaseException, where: str, security: Security) -> Diagnosis:
    """What an error of a connection means."""
    match error:
        case ssl.SSLCertVerificationError():
            return _certificate(error, where, security)
        case UnsupportedSaslMechanismError():
            return Diagnosis(
                f"{where}: no {security.sasl_mechanism}: set {_MECHANISM}", lasting=True
            )
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return _login(where, security)
        case ssl.SSLError():
            reason = error.reason or "not understood"
            return Diagnosis(
                f"{where}: TLS failed ({reason}): check the port and {_PROTOCOL}"
                f"={security.security_protocol}",
                lasting=True,
            )
        case (
            IllegalSaslStateError()
            | KafkaConnectionError()
            | ConnectionResetError()
            | asyncio.IncompleteReadError()
        ):
            return Diagnosis(
                f"{where} closed the connection: check that this port takes {_PROTOCOL}"
                f"={security.security_protocol}, and {variable('tls_cert_file')} if it asks for a"
                " certificate",
                lasting=True,
            )
        case _:
            return Diagnosis(f"{where} does not answer ({type(error).__name__})", lasting=False)


def _certificate(error: ssl.SSLCertVerificationError, where: str, security: Security) -> Diagnosis:
    trusted = security.tls_ca_file or "the system's authorities"
    return Diagnosis(
        f"{where}: its certificate is not trusted ({error.verify_message}): check the name in"
        f" --bootstrap and {variable('tls_ca_file')} ({trusted})",
        lasting=True,
    )


def _login(where: str, security: Security) -> Diagnosis:
    mechanism = security.sasl_mechanism
    bearer = mechanism is SaslMechanism.OAUTHBEARER
    secret = variable("sasl_token_file" if bearer else "sasl_password_file")
    return Diagnosis(
        f"{where} refuses {security.user} ({mechanism}): check the name and what {secret} holds",
        lasting=True,
    )
