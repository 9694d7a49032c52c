"""Audio records: round trips, rejected records, and that only WireError is raised."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import (
    MAX_HEADERS,
    MAX_POSITION,
    MAX_RATE,
    MAX_RECORD_BYTES,
    MIN_RATE,
    AudioChunk,
    AudioCodec,
    AudioDefaults,
    StreamOptions,
)
from schemas.audio_headers import AUDIO_HEADERS
from schemas.codec import decode_audio, encode_audio
from schemas.errors import Reason, WireError
from schemas.headers import Headers
from schemas.options import OPTION_HEADERS

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
KEY = b"call-1"
NAMES = [*sorted(AUDIO_HEADERS | OPTION_HEADERS), "Codec", "sample_rate", "Content-Type"]

POSITIONS = st.none() | st.integers(0, MAX_POSITION)
CHUNKS = st.builds(
    AudioChunk,
    stream_id=st.from_regex(r"[A-Za-z0-9._:-]{1,128}", fullmatch=True),
    payload=st.binary(min_size=1),
    codec=st.sampled_from(AudioCodec),
    rate=st.integers(MIN_RATE, MAX_RATE),
    channels=st.sampled_from([1, 2]),
    seq=POSITIONS,
    start=POSITIONS,
    captured_ms=st.none() | st.integers(31_536_000_000, 4_102_444_799_999),
    end=st.booleans(),
    flush=st.booleans(),
    options=st.just(StreamOptions()) | st.just(StreamOptions(languages=("zh-Hans",), words=True)),
    traceparent=st.none() | st.just(TRACEPARENT),
)


@given(CHUNKS)
def test_an_encoded_chunk_decodes_to_itself(chunk: AudioChunk) -> None:
    assert decode_audio(*encode_audio(chunk)) == chunk


def test_only_fields_that_are_set_become_headers() -> None:
    record = encode_audio(AudioChunk("call-1", b"\0\0"))
    assert record == (KEY, b"\0\0", [("codec", b"pcm_s16le")])


def test_without_headers_the_topic_defaults_apply() -> None:
    defaults = AudioDefaults(AudioCodec.PCM_MULAW, rate=8_000, channels=2)
    assert decode_audio(KEY, b"\xff", [], defaults) == AudioChunk(
        "call-1", b"\xff", AudioCodec.PCM_MULAW, rate=8_000, channels=2
    )


@pytest.mark.parametrize("codec", [codec for codec in AudioCodec if codec.self_describing])
def test_a_self_describing_codec_gets_no_default_format(codec: AudioCodec) -> None:
    bare = decode_audio(KEY, b"x", [("codec", codec.encode())])
    assert (bare.rate, bare.channels) == (None, None)
    stated = decode_audio(KEY, b"x", [("codec", codec.encode()), ("rate", b"48000")])
    assert (stated.rate, stated.channels) == (48_000, None)


@pytest.mark.parametrize("header", ["end", "flush"])
@pytest.mark.parametrize("value", [None, b""])
def test_end_and_flush_need_no_audio(header: str, value: bytes | None) -> None:
    chunk = decode_audio(KEY, value, [(header, b"1")])
    assert chunk.payload == b""
    assert (chunk.end, chunk.flush) == (header == "end", header == "flush")


def test_an_invalid_traceparent_is_dropped_and_reported() -> None:
    chunk = decode_audio(KEY, b"xx", [("traceparent", b"00-1-2-3"), ("words", b"maybe")])
    assert chunk.traceparent is None
    assert [problem.split(":")[0] for problem in chunk.problems] == ["words", "traceparent"]


def test_headers_as_other_clients_write_them_are_understood() -> None:
    headers = [
        *(("Codec", b'"linear16"'), ("RATE", b"8000"), ("channels", None), ("seq", b'"7"')),
        *(("end", b"True"), ("Language", b'"en-US"'), ("captured_ms", b"1763868000.25")),
        *(("traceparent", TRACEPARENT.encode()), ("traceparent", b"00-1-2-3")),
    ]
    chunk = decode_audio(KEY, b"xx", headers)
    assert [problem.split(":")[0] for problem in chunk.problems] == ["traceparent", "captured_ms"]
    assert replace(chunk, problems=()) == AudioChunk(
        *("call-1", b"xx", AudioCodec.PCM_S16LE, 8_000, 1, 7),
        captured_ms=1_763_868_000_250,
        end=True,
        options=StreamOptions(languages=("en-US",)),
        traceparent=TRACEPARENT,
    )


@pytest.mark.parametrize("name", [b"PCMU", b"audio/basic", b"g711_ulaw"])
def test_a_name_of_g711_states_the_rate_unless_the_header_does(name: bytes) -> None:
    assert decode_audio(KEY, b"x", [("codec", name)]).rate == 8_000
    assert decode_audio(KEY, b"x", [("codec", name), ("rate", b"16000")]).rate == 16_000


@pytest.mark.parametrize("value", [b"now", b"0", b"\xff", b"99999999999999999999"])
def test_an_implausible_wall_time_costs_no_audio(value: bytes) -> None:
    chunk = decode_audio(KEY, b"xx", [("captured_ms", value), ("seq", b"3")])
    assert (chunk.payload, chunk.seq, chunk.captured_ms) == (b"xx", 3, None)
    assert chunk.problems[0].startswith("captured_ms: ")


@given(CHUNKS, st.data())
def test_case_quotes_nulls_and_repeats_of_headers_change_nothing(
    chunk: AudioChunk, data: st.DataObject
) -> None:
    key, value, headers = encode_audio(chunk)
    written: list[tuple[str, bytes | None]] = []
    for name, stated in headers:
        is_upper, is_quoted = data.draw(st.tuples(st.booleans(), st.booleans()))
        again = (name.upper() if is_upper else name, b'"%b"' % stated if is_quoted else stated)
        written += data.draw(st.sampled_from([[again], [again, again], [(name, None), again]]))
    assert decode_audio(key, value, written) == chunk


REJECTED: list[tuple[Reason, bytes | None, bytes | None, Headers]] = [
    (Reason.RECORD_TOO_LARGE, KEY, b"x" * (MAX_RECORD_BYTES + 1), []),
    (Reason.TOO_MANY_HEADERS, KEY, b"xx", [("h", b"")] * (MAX_HEADERS + 1)),
    (Reason.HEADERS_TOO_LARGE, KEY, b"xx", [("h", b"v" * 8192)]),
    (Reason.BAD_STREAM_ID, None, b"xx", []),
    (Reason.BAD_STREAM_ID, b"", b"xx", []),
    (Reason.BAD_STREAM_ID, b"a" * 129, b"xx", []),
    (Reason.BAD_STREAM_ID, b"a b", b"xx", []),
    (Reason.BAD_STREAM_ID, b"call\n", b"xx", []),
    (Reason.BAD_STREAM_ID, "通话".encode(), b"xx", []),
    (Reason.BAD_STREAM_ID, b"\xff\xfe", b"xx", []),
    (Reason.DUPLICATE_HEADER, KEY, b"xx", [("rate", b"8000"), ("rate", b"16000")]),
    (Reason.DUPLICATE_HEADER, KEY, b"xx", [("seq", b"1"), ("Seq", b"2")]),
    (Reason.BAD_HEADER, KEY, b"xx", [("rate", b'"fast"')]),
    (Reason.UNKNOWN_CODEC, KEY, b"xx", [("codec", b"g722")]),
    (Reason.UNKNOWN_CODEC, KEY, b"xx", [("codec", b"audio/L16")]),
    (Reason.UNKNOWN_CODEC, KEY, b"xx", [("codec", b"\xff")]),
    (Reason.BAD_HEADER, KEY, b"xx", [("rate", "１６０００".encode())]),
    (Reason.RATE_OUT_OF_RANGE, KEY, b"xx", [("rate", b"0")]),
    (Reason.RATE_OUT_OF_RANGE, KEY, b"xx", [("rate", b"7999")]),
    (Reason.RATE_OUT_OF_RANGE, KEY, b"xx", [("rate", b"48001")]),
    (Reason.CHANNELS_OUT_OF_RANGE, KEY, b"xx", [("channels", b"0")]),
    (Reason.CHANNELS_OUT_OF_RANGE, KEY, b"xx", [("channels", b"64")]),
    (Reason.BAD_HEADER, KEY, b"xx", [("seq", b"-1")]),
    (Reason.BAD_HEADER, KEY, b"xx", [("start", b"%d" % (MAX_POSITION + 1))]),
    (Reason.BAD_HEADER, KEY, b"xx", [("seq", b"true")]),
    (Reason.BAD_HEADER, KEY, b"xx", [("end", b"yes")]),
    (Reason.EMPTY_VALUE, KEY, None, []),
    (Reason.EMPTY_VALUE, KEY, b"", [("end", b"0")]),
]


@pytest.mark.parametrize(("reason", "key", "value", "headers"), REJECTED)
def test_a_record_that_breaks_a_rule_is_rejected(
    reason: Reason, key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    with pytest.raises(WireError) as raised:
        decode_audio(key, value, headers)
    assert raised.value.reason is reason
    assert str(raised.value).isprintable()


def test_of_several_broken_rules_the_cheapest_to_check_is_reported() -> None:
    with pytest.raises(WireError) as raised:
        decode_audio(None, b"", [("codec", b"?"), ("rate", b"?")])
    assert raised.value.reason is Reason.BAD_STREAM_ID


def test_values_at_the_limits_are_accepted() -> None:
    largest = AudioChunk("a" * 128, b"x" * MAX_RECORD_BYTES, rate=MAX_RATE, channels=2)
    assert decode_audio(*encode_audio(largest)) == largest
    assert decode_audio(*encode_audio(replace(largest, rate=MIN_RATE))).rate == MIN_RATE


@given(
    key=st.none() | st.just(KEY) | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(
        st.tuples(
            st.sampled_from(NAMES) | st.text(),
            st.none()
            | st.binary()
            | st.sampled_from([b"1", b"16000", b"flac", b"zh", b'"PCMU"', b"True", b"1763868000"]),
        )
    ),
)
def test_arbitrary_bytes_raise_only_wire_errors(
    key: bytes | None, value: bytes | None, headers: Headers
) -> None:
    try:
        chunk = decode_audio(key, value, headers)
    except WireError:
        return
    options_alone = chunk.options != StreamOptions()  # they may come before the audio
    assert chunk.payload or chunk.end or chunk.flush or options_alone
