"""Events: round trips, golden bytes, and readers older and newer than the writer."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import MAX_UNIX_MS
from schemas.codec import EVENT_TYPES, WireRecord, decode_event, encode_event
from schemas.errors import Reason, WireError
from schemas.transcript import (
    AnyEvent,
    Model,
    Quality,
    Source,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    Timing,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceFailed,
    UtteranceStarted,
    Verdict,
    Word,
)

RELEASED = sorted((Path(__file__).parent / "golden").iterdir())  # one folder per wire version
GOLDEN = RELEASED[-1]  # the version that is written
BASE: dict[str, Any] = {
    "stream_id": "call-1",
    "session_id": "3-1042",
    "index": 7,
    "time_ms": 1_763_868_000_250,
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
FINAL = TranscriptFinal(
    **BASE,
    utterance=5,
    start_s=12.5,
    end_s=14.25,
    speech_end_s=14.0,
    start_sample=200_000,
    end_sample=228_000,
    rate=16_000,
    started_at_ms=1_763_867_998_500,
    end_reason="silence",
    language="zh",
    language_probability=0.98,
    text="你好，世界",
    words=(Word("你好，", 12.5, 13.0, 0.97), Word("世界", 13.25, 14.0, 0.91)),
    confidence=0.94,
    quality=Quality(
        avg_logprob=-0.21,
        no_speech_prob=0.01,
        compression_ratio=0.9,
        snr_db=24.5,
        clipped_ratio=0.0,
        speech_ratio=0.88,
        words_per_second=1.5,
        low_confidence_words=0,
        verdict=Verdict.REVIEW,
        reasons=("language_changed",),
    ),
    model=Model(name="base", sha256="ed3a0b6b", dtype="bfloat16", fold=True),
    source=Source(topic="speech.audio.v1", partition=3, first_offset=1165, last_offset=1182),
    timing=Timing(speech_end_to_final_ms=910, queue_ms=12, decode_ms=180),
)
EXAMPLES: list[AnyEvent] = [
    FINAL,
    TranscriptPartial(
        **BASE,
        utterance=5,
        revision=2,
        start_s=12.5,
        end_s=13.5,
        language="zh",
        stable_text="你好",
        tentative_text="，世",
    ),
    StreamStarted(**BASE, rate=8_000, channels=2, languages=("en", "zh-Hans")),
    StreamEnded(
        **BASE,
        reason=StreamEndReason.IDLE,
        utterances=6,
        audio_s=61.5,
        speech_s=40.25,
        gaps=1,
    ),
    StreamGap(**BASE, start_sample=100, end_sample=1_700, rate=16_000, estimated=True),
    StreamLoss(**BASE, first_offset=10, last_offset=20),
    StreamWarning(**BASE, message="task: 'sing' is none of transcribe, translate"),
    UtteranceStarted(**BASE, utterance=5, start_s=12.5),
    UtteranceFailed(
        **BASE, utterance=5, start_sample=0, end_sample=16_000, rate=16_000, reason="decode"
    ),
]


def as_text(record: WireRecord) -> bytes:
    """Return the record as readable text: key, headers, an empty line, the value."""
    lines = [b"key: " + record.key, *(name.encode() + b": " + v for name, v in record.headers)]
    return b"\n".join([*lines, b"", record.value, b""])


def from_text(text: bytes) -> WireRecord:
    head, _, value = text.partition(b"\n\n")
    key, *headers = (line.split(b": ", 1) for line in head.split(b"\n"))
    return WireRecord(
        key[1], value.removesuffix(b"\n"), [(name.decode(), v) for name, v in headers]
    )


def test_every_event_type_has_an_example_and_golden_bytes() -> None:
    types = {event_type.TYPE for event_type in get_args(AnyEvent)}
    assert {event.TYPE for event in EXAMPLES} == types == set(EVENT_TYPES)
    assert {path.stem for path in GOLDEN.glob("*.txt")} == types


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_events_are_encoded_to_the_golden_bytes(event: AnyEvent) -> None:
    assert as_text(encode_event(event)) == (GOLDEN / f"{event.TYPE}.txt").read_bytes()


@pytest.mark.parametrize("version", RELEASED, ids=lambda folder: folder.name)
@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.TYPE)
def test_golden_bytes_of_every_version_decode(event: AnyEvent, version: Path) -> None:
    record = from_text((version / f"{event.TYPE}.txt").read_bytes())
    assert decode_event(record.headers, record.value) == event


def test_the_headers_are_those_of_cloudevents() -> None:
    headers = dict(encode_event(FINAL).headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"call-1/3-1042/5"
    assert headers["ce_subject"] == encode_event(FINAL).key == b"call-1"
    assert headers["ce_time"] == b"2025-11-23T03:20:00.250Z"
    assert headers["ce_sequence"] == b"0000000007"
    assert headers["content-type"] == b"application/json"


def test_an_event_without_a_trace_has_no_such_header() -> None:
    event = StreamLoss(**BASE | {"traceparent": None}, first_offset=1, last_offset=2)
    record = encode_event(event)
    assert "traceparent" not in dict(record.headers)
    assert decode_event(record.headers, record.value) == event


@given(st.integers(-(1 << 60), 1 << 60))
def test_any_time_can_be_encoded(time_ms: int) -> None:
    event = StreamWarning(**BASE | {"time_ms": time_ms}, message="late")
    record = encode_event(event)
    written = datetime.fromisoformat(dict(record.headers)["ce_time"].decode())
    assert round(written.timestamp() * 1000) == min(max(time_ms, 0), MAX_UNIX_MS)
    assert decode_event(record.headers, record.value) == event


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**10 - 1))
def test_sequences_sort_as_text(first: int, second: int) -> None:
    def sequence(index: int) -> bytes:
        event = StreamWarning(**BASE | {"index": index}, message="")
        return dict(encode_event(event).headers)["ce_sequence"]

    assert (sequence(first) < sequence(second)) == (first < second)


@given(st.text(), st.floats(0, 1), st.none() | st.floats(0, 1))
def test_any_text_and_floats_decode_to_themselves(
    text: str, probability: float, confidence: float | None
) -> None:
    words = (Word(text, 0.0, 1.0, probability),)
    event = replace(FINAL, text=text, words=words, confidence=confidence)
    record = encode_event(event)
    assert decode_event(record.headers, record.value) == event


def test_an_old_reader_ignores_fields_of_a_newer_writer() -> None:
    record = encode_event(FINAL)
    newer = orjson.loads(record.value)
    newer["speaker"] = {"name": "A"}
    newer["quality"]["mos"] = 4.1
    assert decode_event(record.headers, orjson.dumps(newer)) == FINAL


def test_a_new_reader_decodes_events_without_newer_fields() -> None:
    record = encode_event(FINAL)
    older = orjson.loads(record.value)
    del older["traceparent"], older["quality"]["snr_db"]
    event = decode_event(record.headers, orjson.dumps(older))
    assert isinstance(event, TranscriptFinal)
    assert event.quality.snr_db is None
    assert event.traceparent is None


@pytest.mark.parametrize("ce_type", [None, b"", b"speech.stream.paused", b"\xff"])
def test_an_unknown_event_type_is_reported_as_unknown_event(ce_type: bytes | None) -> None:
    with pytest.raises(WireError) as raised:
        decode_event([("ce_type", ce_type)], b"{}")
    assert raised.value.reason is Reason.UNKNOWN_EVENT
    with pytest.raises(WireError):
        decode_event([], b"{}")


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b"{}", b"\xff", b'{"stream_id": 1}', b"[" * 100_000]
)
def test_a_value_of_another_type_is_rejected(value: bytes | None) -> None:
    with pytest.raises(WireError) as raised:
        decode_event([("ce_type", b"speech.stream.loss")], value)
    assert raised.value.reason is Reason.BAD_EVENT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(string.ascii_lowercase), inner),
)


@given(
    ce_type=st.sampled_from(sorted(EVENT_TYPES)),
    value=st.binary() | JSON.map(orjson.dumps),
)
def test_arbitrary_values_raise_only_wire_errors(ce_type: str, value: bytes) -> None:
    with pytest.raises(WireError):
        decode_event([("ce_type", ce_type.encode())], value)
