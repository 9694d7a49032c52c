"""Arguments of aiokafka clients that implement the security settings.

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
    """Return keyword arguments for a consumer, producer or admin client, reading the secrets anew.

    Blocks while it reads small files. Raises AccessDenied, which names the setting and never the
    file's content.
    """
    protocol = security.security_protocol
    arguments: dict[str, Any] = {"security_protocol": protocol.value}
    if protocol.tls:
        arguments["ssl_context"] = tls_context(security)
    if protocol.sasl:
        arguments |= _sasl(security)
    return arguments


def secret_files(security: Security) -> list[Path]:
    """Return the files that `client_arguments` reads."""
    tls = ("tls_ca_file", "tls_cert_file", "tls_key_file", "tls_key_password_file")
    sasl = ("sasl_password_file", "sasl_token_file")
    protocol = security.security_protocol
    names = (*(tls if protocol.tls else ()), *(sasl if protocol.sasl else ()))
    return [Path(path) for name in names if (path := getattr(security, name))]


def tls_context(security: Security) -> ssl.SSLContext:
    """Return the context of a client that verifies the broker's certificate and host name.

    Raises AccessDenied.
    """
    with _reading("tls_ca_file", security):
        context = ssl.create_default_context(cafile=security.tls_ca_file or None)
    if security.tls_cert_file:
        # Without a password, even an empty one, OpenSSL would prompt on the terminal.
        password = (
            _secret("tls_key_password_file", security) if security.tls_key_password_file else ""
        )
        with _reading("tls_cert_file", security):
            context.load_cert_chain(
                security.tls_cert_file, security.tls_key_file or None, lambda: password
            )
    return context


def _sasl(security: Security) -> dict[str, Any]:
    mechanism = {"sasl_mechanism": security.sasl_mechanism.value}
    if security.sasl_mechanism is SaslMechanism.OAUTHBEARER:
        _secret("sasl_token_file", security)  # raises now if the file cannot be read
        return mechanism | {"sasl_oauth_token_provider": _FileToken(security)}
    return mechanism | {
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": _secret("sasl_password_file", security),
    }


class _FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """A provider that reads the token from its file for every connection."""

    def __init__(self, security: Security) -> None:
        self._security = security

    async def token(self) -> str:
        """Return the token. Raises the error that aiokafka expects of a failed login."""
        try:
            return await asyncio.to_thread(_secret, "sasl_token_file", self._security)
        except AccessDenied as error:
            raise AuthenticationFailedError(str(error)) from error


def _secret(name: str, security: Security) -> str:
    """Return the content of the file that a setting names, without the line end."""
    with _reading(name, security):
        secret = Path(getattr(security, name)).read_text("utf-8").rstrip("\r\n")
    if not secret:
        raise AccessDenied(
            f"{variable(name)}={getattr(security, name)}: the file is empty: write the value to it"
        )
    return secret


@contextmanager
def _reading(name: str, security: Security) -> Iterator[None]:
    """Translate errors of reading the file of a setting to AccessDenied."""
    where = f"{variable(name)}={getattr(security, name)}"
    try:
        yield
    except ssl.SSLError as error:
        raise AccessDenied(
            f"{where}: not a usable PEM file ({error.reason or 'not read'}): check that it is"
            " complete, and that key, certificate and password belong together"
        ) from error
    except OSError as error:
        raise AccessDenied(
            f"{where}: {error.strerror or error}: check the path and its permissions"
        ) from error
    except UnicodeDecodeError:  # the error itself contains the secret: it is not chained
        raise AccessDenied(f"{where}: not UTF-8 text: write the value to it as text") from None
