from __future__ import annotations

import pytest

from transport.security import (
    SaslMechanism,
    Security,
    SecurityError,
    SecurityProtocol,
    security_from,
)

PASSWORD = {"SASL_USERNAME": "u", "SASL_PASSWORD_FILE": "p"}


def read(**settings: str) -> Security:
    return security_from({f"STREAMSCRIBE_{name}": text for name, text in settings.items()})


def problems(**settings: str) -> str:
    with pytest.raises(SecurityError) as raised:
        read(**settings)
    return "\n".join(raised.value.problems)


def test_the_default_is_no_security() -> None:
    assert read() == Security()
    assert Security().security_protocol is SecurityProtocol.PLAINTEXT


@pytest.mark.parametrize(
    "settings",
    [
        {"SECURITY_PROTOCOL": "SSL"},
        {"SECURITY_PROTOCOL": "SSL", "TLS_CA_FILE": "ca.pem", "TLS_CERT_FILE": "me.pem"},
        {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "PLAIN", **PASSWORD},
        {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", **PASSWORD},
        {"SECURITY_PROTOCOL": "SASL_PLAINTEXT", "SASL_MECHANISM": "SCRAM-SHA-256", **PASSWORD},
        {
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "OAUTHBEARER",
            "SASL_TOKEN_FILE": "token",
        },
    ],
)
def test_valid_combinations_are_accepted(settings: dict[str, str]) -> None:
    assert read(**settings).security_protocol == settings["SECURITY_PROTOCOL"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
def test_a_secret_is_sent_without_tls_only_on_request(mechanism: str) -> None:
    settings = {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": mechanism,
        "SASL_TOKEN_FILE": "token",
        **PASSWORD,
    }
    assert f"{mechanism} would send the secret unencrypted" in problems(**settings)
    assert read(**settings, SASL_WITHOUT_TLS="true").sasl_mechanism == mechanism


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"TLS_CA_FILE": "ca.pem"}, "STREAMSCRIBE_TLS_CA_FILE has no effect"),
        ({"SASL_PASSWORD_FILE": "p"}, "STREAMSCRIBE_SASL_PASSWORD_FILE has no effect"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "TLS_KEY_FILE": "k", **PASSWORD},
            "STREAMSCRIBE_TLS_KEY_FILE requires STREAMSCRIBE_TLS_CERT_FILE",
        ),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "STREAMSCRIBE_SASL_USERNAME must be set"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "STREAMSCRIBE_SASL_TOKEN_FILE must be set for OAUTHBEARER",
        ),
    ],
)
def test_an_invalid_combination_is_reported_with_the_setting_to_change(
    settings: dict[str, str], message: str
) -> None:
    assert message in problems(**settings)


def test_all_problems_are_reported_at_once() -> None:
    assert len(problems(SECURITY_PROTOCOL="SASL_SSL", TLS_KEY_FILE="k").splitlines()) == 3


def test_the_user_in_messages_has_no_secret() -> None:
    assert read(SECURITY_PROTOCOL="SASL_SSL", **PASSWORD).user == "user u"
    certificate = {"SECURITY_PROTOCOL": "SSL", "TLS_CERT_FILE": "me.pem"}
    assert read(**certificate).user == "the owner of me.pem"
    token = Security(
        security_protocol=SecurityProtocol.SASL_SSL,
        sasl_mechanism=SaslMechanism.OAUTHBEARER,
        sasl_token_file="t",
    )
    assert token.user == "the owner of t"
    assert not Security().user
