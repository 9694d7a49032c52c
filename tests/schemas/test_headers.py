from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import MAX_HEADER_BYTES, MAX_HEADERS, MAX_POSITION
from schemas.errors import Reason, WireError
from schemas.headers import Headers, check_limits, decimal, fitting, flag, shown, switch


def test_headers_at_the_limits_are_accepted() -> None:
    check_limits([("h", b"")] * MAX_HEADERS)
    check_limits([("name", b"v" * (MAX_HEADER_BYTES - 4))])


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("h", b"")] * (MAX_HEADERS + 1), Reason.TOO_MANY_HEADERS),
        ([("name", b"v" * (MAX_HEADER_BYTES - 3))], Reason.HEADERS_TOO_LARGE),
        ([("é" * (MAX_HEADER_BYTES // 2), b"v")], Reason.HEADERS_TOO_LARGE),
    ],
)
def test_headers_above_the_limits_are_rejected(headers: Headers, reason: Reason) -> None:
    with pytest.raises(WireError) as raised:
        check_limits(headers)
    assert raised.value.reason is reason


@given(st.integers(0, MAX_POSITION))
def test_a_decimal_is_parsed(number: int) -> None:
    assert decimal({"seq": b"%d" % number}, "seq", most=MAX_POSITION) == number


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b"1 ", b"1.0", b"1e3", b"1_000", b"0x10", "１６".encode(), b"9" * 5000],
)
def test_a_value_that_is_not_a_plain_decimal_is_rejected(value: bytes) -> None:
    with pytest.raises(WireError, match="decimal number") as raised:
        decimal({"seq": value}, "seq", most=MAX_POSITION)
    assert raised.value.reason is Reason.BAD_HEADER


def test_a_decimal_above_its_maximum_is_rejected() -> None:
    assert decimal({"seq": b"9"}, "seq", most=9) == 9
    with pytest.raises(WireError):
        decimal({"seq": b"10"}, "seq", most=9)


def test_an_absent_header_is_none_or_false() -> None:
    assert decimal({}, "seq", most=9) is None
    assert flag({}, "end") is False


def test_a_flag_is_one_or_zero() -> None:
    assert flag({"end": b"1"}, "end") is True
    assert flag({"end": b"0"}, "end") is False


@pytest.mark.parametrize(
    ("value", "meant"),
    [(b"true", True), (b"True", True), (b"TRUE", True), (b"false", False), (b"False", False)],
)
def test_true_and_false_in_any_case_are_one_and_zero(value: bytes, meant: bool) -> None:
    assert flag({"end": value}, "end") is meant


@pytest.mark.parametrize("value", [b"", b"yes", b"on", b"2", b"01", b" 1", b"t", b"1.0", b"\xff"])
def test_any_other_value_of_a_flag_is_rejected(value: bytes) -> None:
    assert switch(value) is None
    with pytest.raises(WireError, match="leave it out") as raised:
        flag({"end": value}, "end")
    assert raised.value.reason is Reason.BAD_HEADER


def test_of_optional_headers_the_shortest_are_kept_within_the_limits() -> None:
    long, short = ("prompt", b"x" * MAX_HEADER_BYTES), ("task", b"translate")
    assert fitting([("codec", b"flac")], [long, short]) == [("codec", b"flac"), short]
    full = [("h", b"")] * MAX_HEADERS
    assert fitting(full, [short]) == full


@given(
    st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=200)), max_size=20),
    st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=6_000)), max_size=20),
)
def test_what_fits_keeps_within_the_limits_and_has_all_that_must_be(
    headers: list[tuple[str, bytes]], optional: list[tuple[str, bytes]]
) -> None:
    kept = fitting(headers, optional)
    assert kept[: len(headers)] == headers
    check_limits(kept)


@given(st.binary())
def test_a_shown_value_is_short_and_printable(value: bytes) -> None:
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 40 * 5 + 5
