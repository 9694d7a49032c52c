"""How Kafka is to be reached: the settings that every command reads, and what may not be.

Secrets stand in files and are named here, never held: what is printed or logged of these settings
cannot tell one, and a file that is written anew is a secret that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from transport.environment import read, setting, variable


class SecurityProtocol(StrEnum):
    """Kafka's own names."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def tls(self) -> bool:
        return self.value.endswith("SSL")

    @property
    def sasl(self) -> bool:
        return self.value.startswith("SASL_")


class SaslMechanism(StrEnum):
    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"

    @property
    def sends_secret(self) -> bool:
        """Whether the secret itself goes over the line."""
        return not self.value.startswith("SCRAM")


class SecurityError(ValueError):
    """Settings that cannot hold; `problems`: all of them, a sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """Who we say we are to Kafka, and how we know that it is Kafka."""

    security_protocol: SecurityProtocol = setting(
        SecurityProtocol.PLAINTEXT, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    tls_ca_file: str = setting(
        "", "PEM: who may sign the brokers' certificates; empty: the system's"
    )
    tls_cert_file: str = setting("", "PEM: our own certificate, where the brokers ask for one")
    tls_key_file: str = setting("", "PEM: its key; empty: it stands in the certificate's file")
    tls_key_password_file: str = setting("", "file of the key's password")
    sasl_mechanism: SaslMechanism = setting(
        SaslMechanism.SCRAM_SHA_512, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    sasl_username: str = setting("", "user of PLAIN and SCRAM")
    sasl_password_file: str = setting("", "file of the password of PLAIN and SCRAM")
    sasl_token_file: str = setting("", "file of OAUTHBEARER's token, read for every connection")
    sasl_without_tls: bool = setting(
        default=False, help="development only: let PLAIN and OAUTHBEARER go without TLS"
    )

    @property
    def user(self) -> str:
        """Who the broker is told that we are, for messages."""
        if not self.security_protocol.sasl:
            return self.tls_cert_file and f"the owner of {self.tls_cert_file}"
        if self.sasl_mechanism is SaslMechanism.OAUTHBEARER:
            return f"the owner of {self.sasl_token_file}"
        return f"user {self.sasl_username}"


def security_from(environ: Mapping[str, str]) -> Security:
    """Raises SecurityError with every problem found."""
    values, problems = read(Security, environ, {})
    security = Security(**values)
    if problems := [*problems, *security_problems(security)]:
        raise SecurityError(problems)
    return security


def security_problems(security: Security) -> Iterator[str]:
    """One line for everything that cannot hold, each saying what to set."""
    protocol, mechanism = security.security_protocol, security.sasl_mechanism
    if security.tls_key_file and not security.tls_cert_file:
        yield f"{variable('tls_key_file')} needs {variable('tls_cert_file')} beside it"
    yield from _unused(security, "tls_ca_file", "tls_cert_file", holds=protocol.tls, other="SSL")
    secrets = ("sasl_password_file", "sasl_token_file")
    yield from _unused(security, *secrets, holds=protocol.sasl, other="SASL_SSL")
    if not protocol.sasl:
        return
    for name in _needed(mechanism):
        if not getattr(security, name):
            yield f"{variable(name)} must be set for {mechanism}"
    if mechanism.sends_secret and not protocol.tls and not security.sasl_without_tls:
        yield (
            f"{variable('security_protocol')}={protocol}: {mechanism} would show the secret to"
            f" the whole network; use SASL_SSL, or for development alone set"
            f" {variable('sasl_without_tls')}=true"
        )


def _unused(security: Security, *names: str, holds: bool, other: str) -> Iterator[str]:
    for name in names:
        if getattr(security, name) and not holds:
            yield (
                f"{variable(name)} has no effect with {variable('security_protocol')}="
                f"{security.security_protocol}: set {other}, or leave it out"
            )


def _needed(mechanism: SaslMechanism) -> tuple[str, ...]:
    if mechanism is SaslMechanism.OAUTHBEARER:
        return ("sasl_token_file",)
    return ("sasl_username", "sasl_password_file")
