from __future__ import annotations

from collections import Counter
from itertools import islice

from bench.quality.recordings import recordings
from bench.robustness.abuse.hostile_records import hostile_records, is_faulty
from bench.robustness.chaos.test_streams import LabelledRecord, RecordKind, StreamScript
from bench.robustness.stage_faults import FaultStage
from consumer.codecs.reader import AudioRules, read_record
from consumer.core.audio.samples import from_float
from consumer.core.streams.records import Partition, Record
from evaluation.samples import SAMPLES
from schemas.audio import AudioDefaults
from schemas.errors import Reason, WireError

SCRIPT = StreamScript([from_float(clip.samples) for clip in recordings(SAMPLES)], seed=1)
RECORDS = list(islice(hostile_records(SCRIPT, seed=1), 1_000))


def kind(record: LabelledRecord) -> str:
    names = ("untidy", "mutant", "text", "flood", "fault")
    key = record.key or b""
    return next((n for n in names if key.startswith(f"hostile-{n}".encode())), "refused")


def refused_for(record: LabelledRecord) -> str:
    headers = (*record.headers, record.label.header)
    try:
        read_record(
            Record(Partition("t", 0), 0, 0, record.key, record.value, headers),
            AudioRules(AudioDefaults()),
        )
    except WireError as error:
        return error.reason
    return ""


def test_the_same_seed_sends_the_same_records():
    assert list(islice(hostile_records(SCRIPT, seed=1), 500)) == RECORDS[:500]
    assert list(islice(hostile_records(SCRIPT, seed=2), 500)) != RECORDS[:500]


def test_each_is_refused_for_the_reason_it_was_made_for():
    for record in RECORDS:
        if kind(record) == "fault":
            continue
        expected = record.label.note
        assert (kind(record) == "refused") == bool(expected)
        if expected:
            assert refused_for(record) == expected


def test_every_class_of_hostile_records_is_there():
    kinds = Counter(map(kind, RECORDS))
    assert kinds.keys() == {"refused", "untidy", "mutant", "text", "flood", "fault"}
    elsewhere = {
        *(Reason.OVERLAP, Reason.LATE, Reason.SECOND_PUBLISHER),  # by the records before
        *(Reason.TOO_MANY_STREAMS, Reason.TOO_MANY_NEW_STREAMS),
        Reason.UNKNOWN_LANGUAGE,  # of a setting
        *(Reason.BATCH_TOO_LARGE, Reason.CORRUPT_BATCH),  # of batches
        *(Reason.UNDECODABLE, Reason.UNKNOWN_EVENT, Reason.BAD_EVENT),  # of no audio record
        Reason.INTERNAL_ERROR,  # of faults of the worker
    }
    assert {refused_for(record) for record in RECORDS} - {""} == set(Reason) - elsewhere


def test_none_has_the_id_of_a_right_stream():
    ids = {record.key for record in RECORDS if record.key is not None and b"/" not in record.key}
    assert all(each.startswith(b"hostile-") for each in ids)


def test_large_records_are_rare():
    assert sum(len(record.value) for record in RECORDS) < 20_000_000


def test_every_stage_raises_for_a_stream():
    records = islice(hostile_records(SCRIPT, seed=1), 50_000)
    faults = {
        (record.label.note, (record.key or b"").decode())
        for record in records
        if record.label.kind is RecordKind.FAULT
    }
    assert {stage for stage, _ in faults} == set(FaultStage)
    for raising, stream_id in faults:
        assert [stage for stage in FaultStage if is_faulty(stage, stream_id)] == [raising]
