"""Client arguments and unusable files, without a broker."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from transport.client import client_arguments, secret_files
from transport.errors import AccessDenied
from transport.security import SaslMechanism, Security, SecurityProtocol

SASL = Security(
    security_protocol=SecurityProtocol.SASL_PLAINTEXT,
    sasl_username="u",
    sasl_password_file="password",
    sasl_token_file="token",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bearer() -> Security:
    return Security(
        security_protocol=SecurityProtocol.SASL_PLAINTEXT,
        sasl_mechanism=SaslMechanism.OAUTHBEARER,
        sasl_token_file="token",
    )


def tls(**settings: str) -> Security:
    return Security(security_protocol=SecurityProtocol.SSL, **settings)


def test_without_security_no_file_is_read() -> None:
    assert client_arguments(Security()) == {"security_protocol": "PLAINTEXT"}
    assert secret_files(Security()) == []


def test_a_password_is_the_file_s_content_without_the_line_end(folder: Path) -> None:
    (folder / "password").write_text(" pass word \r\n")
    assert client_arguments(SASL) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": " pass word ",
    }


async def test_the_token_is_read_again_for_every_login(folder: Path) -> None:
    (folder / "token").write_text("first")
    provider = client_arguments(bearer())["sasl_oauth_token_provider"]
    assert await provider.token() == "first"
    (folder / "token").write_text("second\n")
    assert await provider.token() == "second"


def test_the_tls_context_verifies_the_broker_and_has_the_client_certificate(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    client = authority.issue_cert("worker")
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    security = tls(tls_ca_file="ca.pem", tls_cert_file="cert.pem", tls_key_file="key.pem")
    context = client_arguments(security)["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
    assert secret_files(security) == [Path("ca.pem"), Path("cert.pem"), Path("key.pem")]


def test_a_key_of_another_certificate_is_rejected(folder: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("a").private_key_pem.write_to_path(folder / "key.pem")
    authority.issue_cert("b").cert_chain_pems[0].write_to_path(folder / "cert.pem")
    with pytest.raises(AccessDenied, match="key, certificate and password belong together"):
        client_arguments(tls(tls_cert_file="cert.pem", tls_key_file="key.pem"))


@pytest.mark.parametrize(
    ("security", "content", "message"),
    [
        (SASL, None, "STREAMSCRIBE_SASL_PASSWORD_FILE=password: No such file"),
        (SASL, b"\n", "STREAMSCRIBE_SASL_PASSWORD_FILE=password: the file is empty"),
        (SASL, b"\xff\xfesecret", "STREAMSCRIBE_SASL_PASSWORD_FILE=password: not UTF-8 text"),
        (bearer(), None, "STREAMSCRIBE_SASL_TOKEN_FILE=token: No such file"),
        (tls(tls_ca_file="password"), None, "STREAMSCRIBE_TLS_CA_FILE=password: No such file"),
        (tls(tls_ca_file="password"), b"secret", "STREAMSCRIBE_TLS_CA_FILE=password: not a usab"),
        (
            tls(tls_cert_file="password"),
            b"secret",
            "STREAMSCRIBE_TLS_CERT_FILE=password: not a us",
        ),
        (
            tls(tls_cert_file="password", tls_key_password_file="absent"),
            b"secret",
            "STREAMSCRIBE_TLS_KEY_PASSWORD_FILE=absent: No such file",
        ),
    ],
)
def test_an_unusable_file_is_reported_with_its_setting(
    folder: Path, security: Security, content: bytes | None, message: str
) -> None:
    if content is not None:
        (folder / "password").write_bytes(content)
    with pytest.raises(AccessDenied) as raised:
        client_arguments(security)
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)
