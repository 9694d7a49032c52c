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
def test_addresses_are_taken_with_blanks_around_them(text: str, parsed: str):
    assert parse_bootstrap(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", ",", "a,,b", "a:0", "a:65536", "a:port", "http://a:9092", "a b:9092", "u@a:9092", "[::1"],
)
def test_anything_else_is_refused_with_the_form(text: str):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        parse_bootstrap(text)
