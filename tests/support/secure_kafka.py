"""A real broker with TLS, SASL and ACLs for the security tests.

Its plain listener is the administrator's; the others require a login, and ACLs for every request.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Final

import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from devstack.kafka import LocalKafka
from devstack.kafka_node import CONTROLLER_PRINCIPAL, Node
from devstack.ports import HOST, free_ports
from transport.security import SaslMechanism, Security, SecurityProtocol

PASSWORD: Final = "correct-horse-7f3a"  # tests check that no message or log contains it
RIGHTS: Final = 15  # of a worker; the user `without-N` has all but the Nth
USERS: Final = (
    *("worker", "publisher", "reader", "operator", "guest", "rotating"),
    *(f"without-{right}" for right in range(RIGHTS)),
)
_LOGIN: Final = "org.apache.kafka.common.security"


class SecureKafka(LocalKafka):
    """One temporary node. `folder`: for certificates and secrets."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._secrets = folder
        self._authority = trustme.CA()
        self._sasl_tls, self._mutual_tls, self._sasl_open = free_ports(3)
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        self.file("password", PASSWORD)

    @property
    def sasl_tls(self) -> str:
        return f"{HOST}:{self._sasl_tls}"

    @property
    def mutual_tls(self) -> str:
        return f"{HOST}:{self._mutual_tls}"

    @property
    def sasl_open(self) -> str:
        return f"{HOST}:{self._sasl_open}"

    def file(self, name: str, text: str) -> str:
        path = self._secrets / name
        path.write_text(text, "utf-8")
        return str(path)

    def security(
        self, user: str, mechanism: SaslMechanism = SaslMechanism.SCRAM_SHA_512
    ) -> Security:
        """Return the settings of a user who logs in at `sasl_tls` with a password or token."""
        return Security(
            security_protocol=SecurityProtocol.SASL_SSL,
            tls_ca_file=str(self._secrets / "ca.pem"),
            sasl_mechanism=mechanism,
            sasl_username=user,
            sasl_password_file=str(self._secrets / "password"),
            sasl_token_file=self.file(f"{user}.token", token(user)),
        )

    def certified(self, user: str) -> Security:
        """Return the settings of a user with a client certificate at `mutual_tls`."""
        return Security(
            security_protocol=SecurityProtocol.SSL,
            tls_ca_file=str(self._secrets / "ca.pem"),
            tls_cert_file=self.certificate(user),
        )

    def certificate(
        self, user: str, authority: trustme.CA | None = None, until: datetime | None = None
    ) -> str:
        """Write a key and its certificate to a file and return its path."""
        issuer = authority or self._authority
        issued = issuer.issue_cert(HOST, common_name=user, not_after=until)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return self.file(f"{user}.pem", (pem + chain).decode())

    async def set_password(self, user: str, password: str) -> None:
        """Change a user's password for SCRAM-SHA-512, as the administrator."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, iterations=4_096)
        changed = UserScramCredentialUpsertion(user, kind, password.encode())
        done = admin.alter_user_scram_credentials([changed])[user]
        await asyncio.to_thread(done.result, 10)

    def _new_nodes(self, data: Path) -> list[Node]:
        nodes = super()._new_nodes(data)
        for node in nodes:
            own = dict(line.split("=", 1) for line in node._properties.read_text().splitlines())
            more = self._security_settings(own).items()
            with node._properties.open("a") as file:
                file.write("".join(f"{name}={value}\n" for name, value in more))
        return nodes

    async def _format(self, cluster_id: str) -> None:
        """Format the data with a password for every user, for both kinds of SCRAM."""
        scram = [
            f"--add-scram={mechanism}=[name={user},password={PASSWORD}]"
            for user in USERS
            for mechanism in (SaslMechanism.SCRAM_SHA_256, SaslMechanism.SCRAM_SHA_512)
        ]
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config")
        for node in self._nodes.values():
            node._spawn(self._class_path, *tool, str(node._properties), *scram)
            await asyncio.to_thread(node.wait, None)
            assert node.exit_code == 0, node.log_tail()

    def _security_settings(self, own: dict[str, str]) -> dict[str, str]:
        """Return the settings that differ from a broker without security (`own`)."""
        broker = Path(self.certificate("broker"))
        ports = {
            "SASLTLS": ("SASL_SSL", self._sasl_tls),
            "MUTUAL": ("SSL", self._mutual_tls),
            "SASLOPEN": ("SASL_PLAINTEXT", self._sasl_open),
        }
        listeners = ",".join(f"{name}://{HOST}:{port}" for name, (_, port) in ports.items())
        protocols = ",".join(f"{name}:{protocol}" for name, (protocol, _) in ports.items())
        plain = " ".join(f'user_{user}="{PASSWORD}"' for user in USERS)
        logins = {
            "plain": f"{_LOGIN}.plain.PlainLoginModule required {plain};",
            "scram-sha-256": f"{_LOGIN}.scram.ScramLoginModule required;",
            "scram-sha-512": f"{_LOGIN}.scram.ScramLoginModule required;",
            "oauthbearer": f"{_LOGIN}.oauthbearer.OAuthBearerLoginModule required"
            ' unsecuredLoginStringClaim_sub="broker";',
        }
        return {
            "listeners": f"{own['listeners']},{listeners}",
            "advertised.listeners": f"{own['advertised.listeners']},{listeners}",
            "listener.security.protocol.map": (
                f"{own['listener.security.protocol.map']},{protocols}"
            ),
            "sasl.enabled.mechanisms": ",".join(SaslMechanism),
            **{
                f"listener.name.{listener}.{mechanism}.sasl.jaas.config": login
                for listener in ("sasltls", "saslopen")
                for mechanism, login in logins.items()
            },
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._secrets / "ca.pem"),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;{CONTROLLER_PRINCIPAL}",
        }


def token(user: str) -> str:
    """Return an unsigned token, which the broker's validator for development accepts."""
    claims = {"sub": user, "iat": time.time() - 1, "exp": time.time() + 3_600}
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join([*(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts), ""])
