from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import MAX_ENDPOINT_MS, MAX_LANGUAGES, MIN_ENDPOINT_MS, StreamOptions, Task
from schemas.errors import Reason, WireError
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
def test_what_is_asked_for_is_read_back(options: StreamOptions) -> None:
    assert decode_options(dict(encode_options(options))) == (options, ())


def test_nothing_asked_is_no_header() -> None:
    assert encode_options(StreamOptions()) == []
    assert decode_options({}) == (StreamOptions(), ())


@pytest.mark.parametrize(
    ("name", "value", "said"),
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
        ("language", b",".join([b"en"] + [b"en-x-%d" % n for n in range(MAX_LANGUAGES)]), "17 are"),
    ],
)
def test_a_wrong_option_is_named_and_the_rest_holds(name: str, value: bytes, said: str) -> None:
    options, problems = decode_options({"hotwords": b"Kafka", name: value})
    (problem,) = problems
    assert problem.startswith(f"{name}: ")
    assert said in problem
    assert options == StreamOptions(hotwords=None if name == "hotwords" else "Kafka")


@pytest.mark.parametrize("value", [b"tlh", b"", b"en,", b"auto,en", b"AUTO", b"en;zh", b"\xff"])
def test_an_unknown_language_is_refused(value: bytes) -> None:
    with pytest.raises(WireError) as refused:
        decode_options({"language": value})
    assert refused.value.reason is Reason.UNKNOWN_LANGUAGE


@pytest.mark.parametrize(
    ("value", "languages"),
    [(b"auto", ()), (b"zh-Hans", ("zh-Hans",)), (b"en, zh ,en", ("en", "zh"))],
)
def test_a_list_of_languages_is_those_allowed(value: bytes, languages: tuple[str, ...]) -> None:
    assert decode_options({"language": value})[0].languages == languages


@given(st.dictionaries(st.sampled_from(sorted(OPTION_HEADERS)), st.binary()))
def test_bytes_of_any_kind_raise_nothing_else(known: dict[str, bytes]) -> None:
    try:
        _, problems = decode_options(known)
    except WireError:
        return
    assert len(problems) <= len(known)
