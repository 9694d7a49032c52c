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
    with pytest.raises(SecurityError) as refused:
        read(**settings)
    return "\n".join(refused.value.problems)


def test_nothing_set_is_no_security() -> None:
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
def test_what_goes_together_is_taken(settings: dict[str, str]) -> None:
    assert read(**settings).security_protocol == settings["SECURITY_PROTOCOL"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
def test_a_secret_never_goes_over_an_open_line_unasked(mechanism: str) -> None:
    settings = {
        "SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "SASL_MECHANISM": mechanism,
        "SASL_TOKEN_FILE": "token",
        **PASSWORD,
    }
    assert f"{mechanism} would show the secret" in problems(**settings)
    assert read(**settings, SASL_WITHOUT_TLS="true").sasl_mechanism == mechanism


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, "is none of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"),
        ({"TLS_CA_FILE": "ca.pem"}, "STREAMSCRIBE_TLS_CA_FILE has no effect"),
        ({"SASL_PASSWORD_FILE": "p"}, "STREAMSCRIBE_SASL_PASSWORD_FILE has no effect"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "TLS_KEY_FILE": "k", **PASSWORD},
            "STREAMSCRIBE_TLS_KEY_FILE needs STREAMSCRIBE_TLS_CERT_FILE",
        ),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "STREAMSCRIBE_SASL_USERNAME must be set"),
        (
            {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"},
            "STREAMSCRIBE_SASL_TOKEN_FILE must be set for OAUTHBEARER",
        ),
    ],
)
def test_what_cannot_hold_says_what_to_set(settings: dict[str, str], told: str) -> None:
    assert told in problems(**settings)


def test_all_problems_are_told_at_once() -> None:
    assert len(problems(SECURITY_PROTOCOL="SASL_SSL", TLS_KEY_FILE="k").splitlines()) == 3


def test_who_we_are_is_told_without_secrets() -> None:
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
