"""Kafka's security settings, read by every command, and their validation.

The settings name the files of secrets and never hold a secret, so that it is safe to print or log
them, and a secret can be changed by writing its file anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from transport.environment import read, setting, variable


class SecurityProtocol(StrEnum):
    """Security protocols by Kafka's names."""

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
        """Whether the client sends the secret itself to the broker."""
        return not self.value.startswith("SCRAM")


class SecurityError(ValueError):
    """Invalid security settings; `problems`: one line each, with the setting to change."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """How a client authenticates itself to Kafka, and how it verifies the brokers."""

    security_protocol: SecurityProtocol = setting(
        SecurityProtocol.PLAINTEXT, "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    tls_ca_file: str = setting(
        "", "PEM file of the authorities that sign the brokers' certificates; empty: the system's"
    )
    tls_cert_file: str = setting(
        "", "PEM file of the client's certificate, for brokers that require one"
    )
    tls_key_file: str = setting("", "PEM file of its key; empty: in the certificate's file")
    tls_key_password_file: str = setting("", "file with the key's password")
    sasl_mechanism: SaslMechanism = setting(
        SaslMechanism.SCRAM_SHA_512, "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    sasl_username: str = setting("", "user name for PLAIN and SCRAM")
    sasl_password_file: str = setting("", "file with the password for PLAIN and SCRAM")
    sasl_token_file: str = setting("", "file with OAUTHBEARER's token, read for every connection")
    sasl_without_tls: bool = setting(
        default=False, help="development only: allow PLAIN and OAUTHBEARER without TLS"
    )

    @property
    def user(self) -> str:
        """The identity that the client presents, for messages; empty without one."""
        if not self.security_protocol.sasl:
            return self.tls_cert_file and f"the owner of {self.tls_cert_file}"
        if self.sasl_mechanism is SaslMechanism.OAUTHBEARER:
            return f"the owner of {self.sasl_token_file}"
        return f"user {self.sasl_username}"


def security_from(environ: Mapping[str, str]) -> Security:
    """Return the settings of the environment. Raises SecurityError with every problem found."""
    values, problems = read(Security, environ, {})
    security = Security(**values)
    if problems := [*problems, *security_problems(security)]:
        raise SecurityError(problems)
    return security


def security_problems(security: Security) -> Iterator[str]:
    """Yield one line for each invalid combination, with the setting to change."""
    protocol, mechanism = security.security_protocol, security.sasl_mechanism
    if security.tls_key_file and not security.tls_cert_file:
        yield f"{variable('tls_key_file')} requires {variable('tls_cert_file')}: set both"
    tls = ("tls_ca_file", "tls_cert_file")
    yield from _unused(security, *tls, used=protocol.tls, protocol="SSL")
    secrets = ("sasl_password_file", "sasl_token_file")
    yield from _unused(security, *secrets, used=protocol.sasl, protocol="SASL_SSL")
    if not protocol.sasl:
        return
    for name in _required(mechanism):
        if not getattr(security, name):
            yield f"{variable(name)} must be set for {mechanism}"
    if mechanism.sends_secret and not protocol.tls and not security.sasl_without_tls:
        yield (
            f"{variable('security_protocol')}={protocol}: {mechanism} would send the secret"
            f" unencrypted: use SASL_SSL, or, for development only, set"
            f" {variable('sasl_without_tls')}=true"
        )


def _unused(security: Security, *names: str, used: bool, protocol: str) -> Iterator[str]:
    """Yield a line for each of these settings that is set without effect.

    `protocol`: the one that would use it, for the message.
    """
    for name in names:
        if getattr(security, name) and not used:
            yield (
                f"{variable(name)} has no effect with {variable('security_protocol')}="
                f"{security.security_protocol}: set {protocol}, or remove it"
            )


def _required(mechanism: SaslMechanism) -> tuple[str, ...]:
    if mechanism is SaslMechanism.OAUTHBEARER:
        return ("sasl_token_file",)
    return ("sasl_username", "sasl_password_file")
