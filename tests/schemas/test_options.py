from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import MAX_ENDPOINT_MS, MAX_LANGUAGES, MIN_ENDPOINT_MS, StreamOptions, Task
from schemas.errors import WireError
from schemas.options import OPTION_HEADERS, decode_options, encode_options

TAGS = ["zh", "zh-Hans", "zh-Hant-TW", "en", "en-US", "yue", "jv", "haw"]
OPTIONS = st.builds(
    StreamOptions,
    languages=st.none() | st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
    prompt=st.none() | st.text(max_size=100),
    hotwords=st.none() | st.text(max_size=100),
    task=st.none() | st.sampled_from(Task),
    words=st.none() | st.booleans(),
    partials=st.none() | st.booleans(),
    endpoint_ms=st.none() | st.integers(MIN_ENDPOINT_MS, MAX_ENDPOINT_MS),
)


@given(OPTIONS)
def test_encoded_options_decode_to_themselves(options: StreamOptions) -> None:
    assert decode_options(dict(encode_options(options))) == (options, ())


def test_options_that_are_not_set_become_no_headers() -> None:
    assert encode_options(StreamOptions()) == []
    assert decode_options({}) == (StreamOptions(), ())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("prompt", b"\xff", "not UTF-8"),
        ("prompt", b"x" * 1001, "1001 characters"),
        ("hotwords", b"x" * 1001, "1001 characters"),
        ("task", b"summarise", "transcribe, translate"),
        ("task", b"\xff", "transcribe, translate"),
        ("words", b"yes", "neither 1 nor 0"),
        ("partials", b"", "neither 1 nor 0"),
        ("endpoint_ms", b"199", "200 to 2000"),
        ("endpoint_ms", b"2001", "200 to 2000"),
        ("endpoint_ms", b"0.5", "200 to 2000"),
        ("endpoint_ms", b"5" * 5000, "200 to 2000"),
        ("language", b",".join([b"en"] + [b"en-x-%d" % n for n in range(MAX_LANGUAGES)]), "17 tag"),
    ],
)
def test_an_invalid_option_is_reported_and_the_others_apply(
    name: str, value: bytes, message: str
) -> None:
    options, problems = decode_options({"hotwords": b"Kafka", name: value})
    (problem,) = problems
    assert problem.startswith(f"{name}: ")
    assert message in problem
    assert options == StreamOptions(hotwords=None if name == "hotwords" else "Kafka")


@pytest.mark.parametrize(
    ("value", "languages", "applied"),
    [
        (b"tlh", None, "the default applies"),
        (b"", None, "the default applies"),
        (b"en/zh", None, "the default applies"),
        (b"\xff", None, "the default applies"),
        (b"en,", ("en",), "en applies"),
        (b"auto,en", ("en",), "en applies"),
        (b"zh-Hant,klingon,en_US", ("zh-Hant", "en-US"), "zh-Hant, en-US applies"),
    ],
)
def test_an_unknown_language_is_reported_and_others_apply(
    value: bytes, languages: tuple[str, ...] | None, applied: str
) -> None:
    options, (problem,) = decode_options({"language": value})
    assert options.languages == languages
    assert problem.startswith("language: ")
    assert problem.endswith(applied)


@pytest.mark.parametrize(
    ("value", "languages"),
    [(b"auto", ()), (b"zh-Hans", ("zh-Hans",)), (b"en, zh ,en", ("en", "zh"))],
)
def test_the_language_header_lists_the_allowed_languages(
    value: bytes, languages: tuple[str, ...]
) -> None:
    assert decode_options({"language": value})[0].languages == languages


@pytest.mark.parametrize(("value", "words"), [(b"true", True), (b"False", False), (b"1", True)])
def test_true_and_false_in_any_case_are_one_and_zero(value: bytes, words: bool) -> None:
    assert decode_options({"words": value, "partials": value}) == (
        StreamOptions(words=words, partials=words),
        (),
    )


@given(st.dictionaries(st.sampled_from(sorted(OPTION_HEADERS)), st.binary()))
def test_arbitrary_bytes_raise_only_wire_errors(known: dict[str, bytes]) -> None:
    try:
        _, problems = decode_options(known)
    except WireError:
        return
    assert len(problems) <= len(known)
