"""Headers as publishers write them: cases, duplicates, nulls, quotes, names of other systems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio_headers import (
    AUDIO_HEADERS,
    DECISIVE_HEADERS,
    OTHER_NAMES,
    READ_HEADERS,
    is_option,
    select,
    unquoted,
)
from schemas.errors import Reason, WireError
from schemas.headers import Headers
from schemas.options import OPTION_HEADERS

HARMLESS = sorted(READ_HEADERS - DECISIVE_HEADERS)


def test_headers_that_are_not_selected_are_ignored() -> None:
    headers: Headers = [("seq", b"1"), ("foreign", None), ("foreign", b"\xff"), ("rate", b"8000")]
    assert select(headers, {"seq"}) == ({"seq": b"1"}, ())


# --- duplicates


@given(st.sampled_from(sorted(READ_HEADERS)), st.binary())
def test_a_repeated_value_is_harmless(name: str, value: bytes) -> None:
    assert select([(name, value)] * 3) == select([(name, value)])
    assert select([(name, value)])[1] == ()


@pytest.mark.parametrize("name", sorted(DECISIVE_HEADERS))
def test_two_values_of_what_decides_the_samples_or_their_order_are_rejected(name: str) -> None:
    with pytest.raises(WireError, match=f"header {name} has two values") as raised:
        select([(name, b"1"), (name, b"2")])
    assert raised.value.reason is Reason.DUPLICATE_HEADER


@pytest.mark.parametrize("name", HARMLESS)
def test_of_two_values_of_any_other_header_the_first_applies_with_one_problem(name: str) -> None:
    known, problems = select([(name, b"1"), ("seq", b"7"), (name, b"2"), (name, b"3")])
    assert known == {name: b"1", "seq": b"7"}
    assert problems == (f"{name}: sent with two values; the first one applies",)


# --- nulls


@pytest.mark.parametrize("name", sorted(READ_HEADERS))
def test_a_null_value_is_an_absent_header(name: str) -> None:
    assert select([(name, None)]) == ({}, ())
    assert select([(name, None), (name, b"1"), (name, None)]) == ({name: b"1"}, ())


# --- names


@given(st.sampled_from(sorted(READ_HEADERS)), st.data())
def test_names_are_matched_in_any_case(name: str, data: st.DataObject) -> None:
    letters = [data.draw(st.sampled_from([letter, letter.upper()])) for letter in name]
    assert select([("".join(letters), b"1")]) == ({name: b"1"}, ())


def test_names_in_two_cases_are_one_header() -> None:
    assert select([("rate", b"8000"), ("Rate", b"8000")]) == ({"rate": b"8000"}, ())
    with pytest.raises(WireError):
        select([("rate", b"8000"), ("Rate", b"16000")])


@pytest.mark.parametrize("name", ["tas\u212a", "ta\u017f\u212a", "wordſ"])
def test_letters_that_only_lower_to_ascii_are_other_names(name: str) -> None:
    """U+212A, the Kelvin sign, is k in lower case."""
    assert select([(name, b"1")]) == ({}, ())


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("sample_rate", b"8000", "rate"),
        ("sampleRate", b"8000", "rate"),
        ("Sample-Rate", b"8000", "rate"),
        ("Content-Type", b"audio/x-mulaw", "codec"),
        ("contentType", b'"audio/wav"', "codec"),
        ("encoding", b"linear16", "codec"),
        ("lang", b"en", "language"),
        ("languageCode", b"en-US", "language"),
        ("sequence", b"7", "seq"),
    ],
)
def test_a_header_of_another_system_is_not_guessed_and_the_right_one_is_named(
    name: str, value: bytes, meant: str
) -> None:
    known, problems = select([(name, value), ("flush", b"1")])
    assert known == {"flush": b"1"}
    assert problems == (f"{name.lower()}: this header is not read; send {meant} instead",)


@pytest.mark.parametrize(
    "headers",
    [
        [("sample_rate", b"8000"), ("rate", b"8000")],
        [("Rate", b"8000"), ("sample_rate", b"8000")],
        [("sample_rate", None)],
        [("content-type", b"application/octet-stream")],
        [("encoding", b"x"), ("codec", b"flac")],
    ],
)
def test_a_header_of_another_system_is_no_problem_where_nothing_is_missed(headers: Headers) -> None:
    assert select(headers)[1] == ()


def test_names_of_other_systems_are_no_headers_of_this_one() -> None:
    assert not OTHER_NAMES.keys() & READ_HEADERS
    assert set(OTHER_NAMES.values()) <= READ_HEADERS
    assert all(name == name.lower() for name in OTHER_NAMES)


def test_problems_with_options_differ_from_those_with_the_audio() -> None:
    assert all(is_option(f"{name}: why") for name in (*OPTION_HEADERS, "lang"))
    assert not any(is_option(f"{name}: why") for name in (*AUDIO_HEADERS, "sample_rate", "restart"))


# --- quotes


@pytest.mark.parametrize("name", sorted(READ_HEADERS - {"prompt", "hotwords"}))
def test_quotes_around_a_value_are_removed(name: str) -> None:
    assert select([(name, b'"1"')]) == ({name: b"1"}, ())
    assert select([(name, b'"1"'), (name, b"1")]) == ({name: b"1"}, ())


@pytest.mark.parametrize("name", ["prompt", "hotwords"])
def test_quotes_in_texts_are_the_publishers(name: str) -> None:
    assert select([(name, b'"Kafka"')]) == ({name: b'"Kafka"'}, ())


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b'"', b'"'), (b'""', b""), (b'"a', b'"a'), (b'a"', b'a"'), (b'""a""', b'"a"'), (b"", b"")],
)
def test_only_a_pair_of_quotes_is_removed(value: bytes, expected: bytes) -> None:
    assert unquoted(value) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*READ_HEADERS, *OTHER_NAMES, "Language"]) | st.text(),
            st.none() | st.binary(max_size=3) | st.sampled_from([b'"1"', b"audio/wav"]),
        )
    )
)
def test_any_headers_are_selected_or_rejected_as_duplicates(headers: Headers) -> None:
    try:
        known, problems = select(headers)
    except WireError:
        return
    assert known.keys() <= READ_HEADERS
    assert len(problems) == len(set(problems)) <= len(HARMLESS) + len(OTHER_NAMES)
    assert all(problem.isprintable() for problem in problems)
