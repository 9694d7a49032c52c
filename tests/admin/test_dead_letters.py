from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.dead_letters import (
    ReceivedDeadLetter,
    last_record,
    new_stream_id,
    redriven,
)
from schemas.audio import MAX_RECORD_BYTES, StreamOptions, Task
from schemas.codec import decode_audio
from schemas.headers import check_limits
from schemas.topics import valid_stream_id

LETTER = ReceivedDeadLetter(
    place="3/42",
    key=b"call-7",
    value=b"\0\0",
    headers=(("codec", b"pcm_s16le"), ("seq", b"9"), ("start", b"160"), ("language", b"zh")),
    details={"reason": "too_long", "topic": "speech.audio.v1", "partition": "3", "offset": "7"},
    dead_ms=1_763_868_000_250,
)


def test_a_record_is_sent_back_without_its_position_in_the_old_stream() -> None:
    back = redriven(LETTER, "call-7.redrive-1")
    assert back.headers == [
        ("codec", b"pcm_s16le"),
        ("language", b"zh"),
        ("redriven-from", b"speech.audio.v1/3/7"),
    ]
    chunk = decode_audio(*back)
    assert (chunk.stream_id, chunk.payload, chunk.seq) == ("call-7.redrive-1", b"\0\0", None)


def test_a_record_is_sent_back_with_the_options_of_its_session() -> None:
    letter = replace(
        LETTER,
        headers=(("Language", b"zh"), ("SEQ", b"9"), ("task", None)),
        details={
            **LETTER.details,
            "option.language": "en",
            "option.task": "translate",
            "option.prompt": "你好",
        },
    )
    chunk = decode_audio(*redriven(letter, "call-7.redrive-1"))
    assert chunk.options == StreamOptions(languages=("zh",), prompt="你好", task=Task.TRANSLATE)
    assert (chunk.seq, chunk.problems) == (None, ())


@given(
    st.lists(st.integers(0, 5_000), max_size=4),
    st.lists(st.integers(0, 4_000), min_size=2, max_size=2),
)
def test_a_record_that_may_return_is_sent_back_within_the_limits(
    own: list[int], options: list[int]
) -> None:
    details = {
        f"option.{name}": "x" * n for name, n in zip(["prompt", "task"], options, strict=True)
    }
    headers = tuple((f"h{n}", bytes(size)) for n, size in enumerate(own))
    letter = replace(LETTER, headers=headers, details={**LETTER.details, **details})
    if letter.may_return:
        check_limits(redriven(letter, "s").headers)


def test_the_redriven_from_header_names_the_latest_origin() -> None:
    again = replace(LETTER, headers=(("redriven-from", b"x/0/0"), ("codec", None)))
    assert redriven(again, "s").headers == [("redriven-from", b"speech.audio.v1/3/7")]


def test_the_new_stream_id_is_the_same_within_a_run_only() -> None:
    other = replace(LETTER, place="3/43")
    assert new_stream_id(LETTER, "ab") == new_stream_id(other, "ab") == "call-7.redrive-ab"
    assert new_stream_id(LETTER, "cd") != new_stream_id(LETTER, "ab")


@given(st.none() | st.binary(max_size=200))
def test_any_key_gives_a_valid_stream_id(key: bytes | None) -> None:
    assert valid_stream_id(new_stream_id(replace(LETTER, key=key), "c0ffee"))


@pytest.mark.parametrize(
    ("key", "stream_id"),
    [
        (None, "no-key-speech.audio.v1-3.redrive-ab"),
        ("通话-7".encode(), "key-32c3bc6a---7.redrive-ab"),
        (b"", "key-e3b0c442-.redrive-ab"),
        (b"a b", "key-c8687a08-a-b.redrive-ab"),
    ],
)
def test_letters_with_the_same_invalid_key_become_one_stream(
    key: bytes | None, stream_id: str
) -> None:
    letter = replace(LETTER, key=key)
    assert letter.stream_id is None
    assert new_stream_id(letter, "ab") == stream_id
    assert new_stream_id(replace(letter, place="3/43"), "ab") == stream_id


KEYS = st.binary(max_size=200) | st.sampled_from([b"a" * 128, b"a" * 127 + b"b", b"a" * 113])


@given(keys=st.tuples(KEYS, KEYS))
def test_different_keys_become_different_streams(keys: tuple[bytes, bytes]) -> None:
    one, other = (new_stream_id(replace(LETTER, key=key), "c0ffee") for key in keys)
    assert (one == other) == (keys[0] == keys[1])


@pytest.mark.parametrize(
    ("letter", "may"),
    [
        (LETTER, True),
        (replace(LETTER, value=None), True),
        (replace(LETTER, value=bytes(MAX_RECORD_BYTES)), True),
        (replace(LETTER, value=bytes(MAX_RECORD_BYTES + 1)), False),
        (replace(LETTER, headers=(("prompt", bytes(9_000)),)), False),
        (replace(LETTER, details={"sha256": "0"}), False),
        (replace(LETTER, details={"records": "7"}), False),
    ],
)
def test_only_complete_records_within_the_limits_may_be_sent_back(
    letter: ReceivedDeadLetter, *, may: bool
) -> None:
    assert letter.may_return is may


def test_an_end_record_is_recognised_and_can_be_created() -> None:
    assert not LETTER.ends
    assert replace(LETTER, headers=(("end", b"1"),)).ends
    assert replace(LETTER, headers=(("End", b"true"),)).ends
    assert not replace(LETTER, headers=(("end", b"0"),)).ends
    assert not replace(LETTER, headers=(("end", b"yes"),)).ends
    assert decode_audio(*last_record("s")).end
