"""States are read from the state topic as they were written."""

from __future__ import annotations

import string

import msgspec
import pytest
from builders import PARTITION
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Halt, PartitionState, Tally
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.state import RecordOrder, SessionState, StreamState
from consumer.kafka.state_records import decode_states, encode_states
from schemas.audio import StreamOptions, Task

TOPIC = PARTITION.topic
counts = st.integers(0, 1 << 40)
optional = st.none() | counts
options = st.builds(
    StreamOptions,
    languages=st.none() | st.lists(st.sampled_from(["zh", "zh-Hans", "en"])).map(tuple),
    prompt=st.none() | st.text(max_size=20),
    hotwords=st.none() | st.text(max_size=20),
    task=st.none() | st.sampled_from(Task),
    words=st.none() | st.booleans(),
    partials=st.none() | st.booleans(),
    endpoint_ms=st.none() | st.integers(200, 2_000),
)
orders = st.builds(
    RecordOrder,
    rate=counts,
    channels=counts,
    end=counts,
    first_seq=optional,
    first=st.tuples(counts, optional, optional),
    next_seq=optional,
    last_samples=counts,
    positioned=st.booleans(),
    over=st.booleans(),
)
sessions = st.builds(
    SessionState,
    session_id=st.just("0-7"),
    rate=counts,
    channels=counts,
    options=options,
    traceparent=st.none() | st.just("00-4bf9-00f0-01"),
    cut=counts,
    in_speech=st.booleans(),
    origin=st.tuples(counts, st.floats(0, 1e15)),
    events=counts,
    utterances=counts,
    gaps=counts,
    audio_samples=counts,
    speech_samples=counts,
    attempts=counts,
    language=st.builds(LanguageHold, st.none() | st.just("zh"), st.none() | st.just("yue")),
)
streams = st.builds(
    StreamState,
    needed_offset=optional,
    read_offset=counts,
    last_ms=counts,
    order=st.none() | orders,
    session=st.none() | sessions,
)
partitions = st.builds(
    PartitionState,
    next_offset=counts,
    resume_offset=counts,
    time_ms=counts,
    clean=st.booleans(),
    tally=st.builds(Tally, counts, counts, counts),
)
stream_ids = st.text(string.ascii_letters + string.digits + "._:-", min_size=1, max_size=20)


def commit(state: PartitionState, streams: dict[str, StreamState | None]) -> Commit:
    return Commit(PARTITION, 1, (), (), state, tuple(streams.items()), (), 0, ())


@given(state=partitions, written=st.dictionaries(stream_ids, st.none() | streams))
def test_states_survive_encoding(state: PartitionState, written: dict[str, StreamState | None]):
    records = encode_states("calls", commit(state, written))
    found = decode_states("calls", TOPIC, records)
    assert found == (state, {name: s for name, s in written.items() if s is not None})


@given(first=streams, second=streams)
def test_the_newest_record_of_a_key_is_read(first: StreamState, second: StreamState):
    state = PartitionState(1, 1)
    records = [
        *encode_states("calls", commit(state, {"a": first, "b": first})),
        *encode_states("calls", commit(state, {"a": second, "b": None})),
    ]
    assert decode_states("calls", TOPIC, records)[1] == {"a": second}


def test_groups_and_topics_are_separate():
    records = encode_states("calls", commit(PartitionState(1, 1), {}))
    assert decode_states("call", TOPIC, records) == (None, {})
    assert decode_states("calls", "speech.audio.bulk.v1", records) == (None, {})


def test_the_state_of_a_stream_is_below_a_kilobyte():
    order = RecordOrder(48_000, 2, 1 << 40, 0, (1 << 31, 1 << 40, 1 << 41), 1 << 20, 4_800, True)
    session = SessionState(
        "63-123456789012", 48_000, 2, StreamOptions(("zh-Hans", "en"), task=Task.TRANSCRIBE),
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", 1 << 40, True,
        (1 << 40, 1.7e12 + 1 / 3), 1 << 20, 1 << 20, 1 << 20, 1 << 40, 1 << 40, 2,
        LanguageHold("yue", "haw"),
    )  # fmt: skip
    stream = StreamState(1 << 40, 1 << 40, 1_700_000_000_000, order, session)
    record, _ = encode_states("g" * 64, commit(PartitionState(1, 1), {"s" * 128: stream}))
    assert len(record.key) + len(record.value or b"") < 1024


@pytest.mark.parametrize("value", [b"", b"{", b'{"v": 1}', b'{"v": 1, "state": {"needed": "x"}}'])
def test_an_unreadable_record_halts(value: bytes):
    with pytest.raises(Halt, match="cannot be read"):
        decode_states("calls", TOPIC, [(f"S|calls|{TOPIC}|s".encode(), value)])


def test_a_record_of_a_newer_version_halts():
    value = msgspec.json.encode({"v": 2, "state": {"what": "ever"}})
    with pytest.raises(Halt, match="upgrade it"):
        decode_states("calls", TOPIC, [(f"P|calls|{TOPIC}".encode(), value)])


def test_unknown_fields_are_ignored():
    state = msgspec.to_builtins(PartitionState(7, 5)) | {"added": 1}
    value = msgspec.json.encode({"v": 1, "state": state})
    assert decode_states("calls", TOPIC, [(f"P|calls|{TOPIC}".encode(), value)])[0] == (
        PartitionState(7, 5)
    )


def test_a_stream_written_by_an_earlier_release_holds_no_language():
    session = SessionState(
        "0-7", 8_000, 1, StreamOptions(), None, 0, False, (0, 0.0), 1, 0, 0, 0, 0
    )
    stream = StreamState(7, 9, 0, None, session)
    record, _ = encode_states("calls", commit(PartitionState(1, 1), {"s": stream}))
    content = msgspec.json.decode(record.value or b"")
    del content["state"]["session"]["held"]
    value = msgspec.json.encode(content)
    found = decode_states("calls", TOPIC, [(f"S|calls|{TOPIC}|s".encode(), value)])[1]
    assert found == {"s": stream}
    assert session.language == UNKNOWN
