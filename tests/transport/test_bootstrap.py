from __future__ import annotations

import pytest

from transport.bootstrap import parse_bootstrap


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("a", "a"),
        ("a:9092,b", "a:9092,b"),
        (" a:9092, b:9092 ", "a:9092,b:9092"),
        ("[::1]:9092", "[::1]:9092"),
    ],
)
def test_blanks_around_addresses_are_removed(text: str, parsed: str):
    assert parse_bootstrap(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", ",", "a,,b", "a:0", "a:65536", "a:port", "http://a:9092", "a b:9092", "u@a:9092", "[::1"],
)
def test_an_invalid_address_is_rejected_with_the_expected_form(text: str):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_bootstrap(text)
