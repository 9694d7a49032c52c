"""What every aiokafka client is to be given, so that it reaches Kafka as the settings say.

AIOKafkaProducer(bootstrap_servers=..., **client_arguments(security))
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError

from transport.environment import variable
from transport.errors import AccessDenied
from transport.security import SaslMechanism, Security


def client_arguments(security: Security) -> dict[str, Any]:
    """Keyword arguments for a consumer, producer or admin client, the secrets as they are now.

    Blocks for as long as small files take to read. Raises AccessDenied, naming the setting and
    never what the file holds.
    """
    protocol = security.security_protocol
    arguments: dict[str, Any] = {"security_protocol": protocol.value}
    if protocol.tls:
        arguments["ssl_context"] = tls_context(security)
    if protocol.sasl:
        arguments |= _sasl(security)
    return arguments


def secret_files(security: Security) -> list[Path]:
    """The files that `client_arguments` reads."""
    tls = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password_file")
    sasl = ("sasl_password_file", "sasl_token_file")
    protocol = security.security_protocol
    names = (*(tls if protocol.tls else ()), *(sasl if protocol.sasl else ()))
    return [Path(path) for name in names if (path := getattr(security, name))]


def tls_context(security: Security) -> ssl.SSLContext:
    """Of a client that checks the broker's certificate and name. Raises AccessDenied."""
    with _read("tls_ca_file", security):
        context = ssl.create_default_context(cafile=security.tls_ca_file or None)
    if security.tls_cert_file:
        # Without a password of ours OpenSSL would ask the terminal for one.
        password = (
            _secret("tls_key_password_file", security) if security.tls_key_password_file else ""
        )
        with _read("tls_cert_file", security):
            context.load_cert_chain(
                security.tls_cert_file, security.tls_key_file or None, lambda: password
            )
    return context


def _sasl(security: Security) -> dict[str, Any]:
    mechanism = {"sasl_mechanism": security.sasl_mechanism.value}
    if security.sasl_mechanism is SaslMechanism.OAUTHBEARER:
        _secret("sasl_token_file", security)  # a wrong name is told now
        return mechanism | {"sasl_oauth_token_provider": _FileToken(security)}
    return mechanism | {
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": _secret("sasl_password_file", security),
    }


class _FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """The token as it stands in its file when a connection is made."""

    def __init__(self, security: Security) -> None:
        self._security = security

    async def token(self) -> str:
        """Raises what aiokafka takes for a connection that failed."""
        try:
            return await asyncio.to_thread(_secret, "sasl_token_file", self._security)
        except AccessDenied as error:
            raise AuthenticationFailedError(str(error)) from error


def _secret(name: str, security: Security) -> str:
    """What the file says that a setting names, without the line's end."""
    with _read(name, security):
        secret = Path(getattr(security, name)).read_text("utf-8").rstrip("\r\n")
    if not secret:
        raise AccessDenied(f"{variable(name)}={getattr(security, name)}: the file is empty")
    return secret


@contextmanager
def _read(name: str, security: Security) -> Iterator[None]:
    where = f"{variable(name)}={getattr(security, name)}"
    try:
        yield
    except ssl.SSLError as error:
        raise AccessDenied(
            f"{where}: no PEM that can be used ({error.reason or 'not read'}): check that it is"
            " whole, and that key, certificate and password belong together"
        ) from error
    except OSError as error:
        raise AccessDenied(f"{where}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise AccessDenied(f"{where}: is no text in UTF-8") from None  # it holds the bytes
