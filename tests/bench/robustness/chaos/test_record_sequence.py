from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

from bench.quality.recordings import recordings
from bench.robustness.chaos.hidden_counters import find
from bench.robustness.chaos.record_sequence import invalid_records, record_sequence
from bench.robustness.chaos.test_streams import (
    Closing,
    LabelledRecord,
    OrderHeaders,
    RecordKind,
    StreamScript,
    TestStream,
    label_of,
)
from consumer.codecs.reader import AudioRules, read_record
from consumer.core.audio.samples import from_float
from consumer.core.streams.records import Partition, Record
from evaluation.samples import SAMPLES
from schemas.audio import AudioDefaults
from schemas.errors import WireError

SCRIPT = StreamScript([from_float(clip.samples) for clip in recordings(SAMPLES)], seed=1)


def stream(headers: OrderHeaders = OrderHeaders.SEQ_START, **more: Any) -> TestStream:
    fields = {"closing": Closing.END, "channels": 1, "chunk": 1600, "fault_rate": 0.3}
    return TestStream(5, "s", headers, **(fields | more))


def sequence(stream: TestStream, stop_after: int = 10**9) -> list[LabelledRecord]:
    records: list[LabelledRecord] = []
    for each in record_sequence(SCRIPT, stream, lambda: len(records) >= stop_after):
        records.append(each)  # noqa: PERF402 - `stopped` counts them meanwhile
    return records


def outcome(record: LabelledRecord) -> str:
    headers = (*record.headers, record.label.header)
    received = Record(Partition("t", 0), 0, 0, record.key, record.value, headers)
    try:
        read_record(received, AudioRules(AudioDefaults()))
    except WireError as error:
        return error.reason
    return ""


def test_the_records_of_a_stream_are_the_same_every_time() -> None:
    one, two = (sequence(stream()) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("headers", OrderHeaders)
def test_records_match_their_labels(headers: OrderHeaders) -> None:
    records = sequence(stream(headers))
    sound = SCRIPT.samples(stream(headers))
    for each in records:
        label = each.label
        assert label_of([*each.headers, label.header]) == label
        assert outcome(each) == (label.note if label.kind is RecordKind.BAD else "")
        if label.kind in {RecordKind.SOUND, RecordKind.REPEAT}:
            payload = np.frombuffer(each.value, np.int16)
            assert (payload == sound[label.start : label.end]).all()
            assert all(piece.stream == 5 for piece in find(payload))


@pytest.mark.parametrize("channels", [1, 2])
def test_all_channels_are_equal(channels: int) -> None:
    (first, *_) = sequence(stream(channels=channels))
    payload = np.frombuffer(first.value, np.int16).reshape(-1, channels)
    assert payload.shape == (1600, channels)
    assert (payload == payload[:, :1]).all()


def test_all_kinds_of_input_faults_occur() -> None:
    labels = [each.label for each in sequence(stream(fault_rate=0.5))]
    sounds = [label for label in labels if label.kind is RecordKind.SOUND]
    starts = [label.start for label in sounds]
    distinct = set(starts)
    assert {label.kind for label in labels} == set(RecordKind) - {
        RecordKind.HOSTILE,
        RecordKind.FAULT,
    }
    assert any(label.note == "flush" for label in sounds)
    assert starts != sorted(starts)
    assert any(start not in distinct for start in range(0, max(distinct), 1600))
    assert len(distinct) == len(starts)


def test_without_input_faults_all_audio_is_sent_once_in_order() -> None:
    records = sequence(stream(fault_rate=0))
    assert [i.label.kind for i in records[:-1]] == [RecordKind.SOUND] * (len(records) - 1)
    assert records[-1].label.kind is RecordKind.END
    assert sum(i.label.end - i.label.start for i in records) == len(SCRIPT.samples(stream()))


def test_a_stream_that_is_stopped_ends_in_order() -> None:
    records = sequence(stream(closing=Closing.RESTART, fault_rate=0), stop_after=7)
    assert [each.label.kind for each in records] == [RecordKind.SOUND] * 7 + [RecordKind.END]
    assert dict(records[-1].headers)["seq"] == b"7"
    assert records[-1].label.start == 7 * 1600 == int(dict(records[-1].headers)["start"])


@pytest.mark.parametrize("stop_after", range(10, 60))
def test_only_repeats_have_the_number_of_another_record_wherever_a_stream_is_stopped(
    stop_after: int,
) -> None:
    records = sequence(stream(OrderHeaders.SEQ_START, fault_rate=0.5), stop_after=stop_after)
    first = [each for each in records if each.label.kind is not RecordKind.REPEAT]
    numbers = [dict(each.headers).get("seq") for each in first]
    assert len(set(numbers)) == len(numbers)


def test_a_stream_that_the_next_one_ends_has_no_end_record() -> None:
    assert all(
        i.label.kind is not RecordKind.END for i in sequence(stream(closing=Closing.RESTART))
    )


def test_poison_lies_in_the_first_words() -> None:
    (poisoned,) = find(SCRIPT.samples(stream(poisoned=True)))
    (clean,) = find(SCRIPT.samples(stream()))
    assert poisoned.poisoned
    assert not clean.poisoned


def test_invalid_records_are_refused_for_their_reasons() -> None:
    for record in islice(invalid_records(), 7):
        assert outcome(record) == record.label.note
