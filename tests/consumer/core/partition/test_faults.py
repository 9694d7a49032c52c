"""Unexpected exceptions of one stream: its records are dead letters, no other is affected."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from budget import examples
from builders import OPTIONS, PARTITION, RATE, Log, loud, quiet
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import Worker, drive_randomly, without_timing

from bench.robustness.stage_faults import FaultStage, raising
from consumer.core.partition.faults import MAX_FAULTS, Exclusions, StreamFault
from consumer.core.partition.state import recover
from consumer.testing import MemoryStore
from schemas.audio import AudioChunk, StreamOptions
from schemas.errors import Reason
from schemas.transcript import AnyEvent, StreamStarted, TranscriptFinal, UtteranceFailed

IN_CORE = (FaultStage.ORDER, FaultStage.CUT)
# Records of 0.4 s: what is left of an utterance after a fault is longer than min_speech_ms.
SPEECH = np.concatenate([loud(2), quiet(0.8), loud(1.2), quiet(0.8)])


def log_of(repeats: int = 1) -> Log:
    """Return the records of two streams in turn."""
    log, streams = Log(), {name: Log() for name in ("good", "bad")}
    for name, stream in streams.items():
        stream.speak(name, np.concatenate([SPEECH] * repeats), chunk_s=0.4, end=True)
    for pair in zip(*(stream.records for stream in streams.values()), strict=True):
        for record in pair:
            log.append_raw(record.key, record.value, record.headers)
    return log


class Faults:
    """Whether the stream `bad` has a fault: at the calls with these numbers."""

    def __init__(self, calls: set[int]) -> None:
        self.calls = calls
        self.made = 0
        self.raised = 0

    def __call__(self, stream_id: str) -> bool:
        if stream_id != "bad":
            return False
        self.made += 1
        is_faulty = self.made in self.calls
        self.raised += is_faulty
        return is_faulty


def run(log: Log, seed: int = 0, crash_at: int | None = None) -> MemoryStore:
    """Run a worker to the end of the log; after a fault it opens the partition again.

    `crash_at`: number of the opening at which another worker takes over.
    """
    store, exclusions, chance = (
        MemoryStore(log_end=len(log.records)),
        Exclusions(),
        random.Random(seed),
    )
    for opening in range(50):
        if opening == crash_at:
            exclusions = Exclusions()
        worker = Worker(
            recover(store.found(PARTITION), from_earliest=True), store=store, exclusions=exclusions
        )
        try:
            drive_randomly(worker, log.records[worker.task.ledger.position :], chance)
            worker.tick(0.0)
            worker.tick(1_000.0)
            worker.finish_all()
            worker.commit()
        except StreamFault as fault:
            exclusions.add(fault.stream_id, fault.next_offset)
        else:
            return store
    raise AssertionError("the faults do not end")


def events(store: MemoryStore, stream_id: str) -> list[AnyEvent]:
    return [without_timing(event) for event in store.events if event.stream_id == stream_id]


def letters(store: MemoryStore) -> Counter[int]:
    return Counter(letter.record.offset for letter in store.dead_letters)


@pytest.mark.parametrize("stage", IN_CORE)
def test_a_fault_ends_its_stream_and_the_next_record_begins_a_session(stage: FaultStage):
    log, faults = log_of(2), Faults({12})
    clean = run(log)
    with raising(stage, faults):
        store = run(log)
    assert faults.raised == 1
    assert events(store, "good") == events(clean, "good")
    assert {letter.reason for letter in store.dead_letters} == {Reason.INTERNAL_ERROR}
    assert all(letter.record.key == b"bad" for letter in store.dead_letters)
    assert sum(isinstance(event, StreamStarted) for event in events(store, "bad")) == 2


def test_a_stream_with_faults_again_and_again_is_excluded():
    log, faults = log_of(), Faults(set(range(1, 1_000)))
    clean = run(log)
    with raising(FaultStage.ORDER, faults):
        store = run(log)
    assert faults.raised == MAX_FAULTS
    assert events(store, "good") == events(clean, "good")
    assert events(store, "bad") == []
    of_bad = {record.offset for record in log.records if record.key == b"bad"}
    assert letters(store) == Counter(of_bad)
    assert store.found(PARTITION).streams.keys() == {"good"}


def test_the_dead_letters_of_an_excluded_session_have_its_options():
    log, exclusions = Log(), Exclusions()
    asked = replace(OPTIONS, languages=("de",), prompt="so far")
    sent = AudioChunk("bad", loud(0.2).tobytes(), rate=RATE, channels=1)
    before = Worker()
    before.read(log.append(replace(sent, options=asked)))
    before.commit()
    later = log.append(sent)
    exclusions.add("bad", later.next_offset)
    restored = recover(before.store.found(PARTITION), from_earliest=True)
    worker = Worker(restored, store=before.store, exclusions=exclusions)
    worker.read(*log.records[worker.task.ledger.position :])
    worker.finish_all()
    found = {letter.record.offset: letter for letter in worker.store.dead_letters}
    assert found[later.offset].reason is Reason.INTERNAL_ERROR
    assert {letter.options for letter in found.values()} == {asked}


@examples(60)
@given(
    stage=st.sampled_from(IN_CORE),
    calls=st.sets(st.integers(1, 90), max_size=6),
    seed=st.integers(0, 1 << 16),
)
def test_no_audio_is_lost_and_other_streams_are_not_affected(
    stage: FaultStage, calls: set[int], seed: int
):
    log, faults = log_of(2), Faults(calls)
    clean = run(log)
    with raising(stage, faults):
        store = run(log, seed)
    assert events(store, "good") == events(clean, "good")
    assert_all_speech_is_published(log, store)


def assert_all_speech_is_published(log: Log, store: MemoryStore) -> None:
    """Each record of `bad` with speech is of a final or a dead letter, and that one only once."""
    finals = [event for event in events(store, "bad") if isinstance(event, TranscriptFinal)]
    covered = {
        offset
        for final in finals
        for offset in range(final.source.first_offset, final.source.last_offset + 1)
    }
    found = letters(store)
    for record in log.records:
        if record.key == b"bad" and any(record.value):
            assert record.offset in covered or record.offset in found
    assert set(found.values()) <= {1}


@pytest.mark.parametrize("seed", range(5))
def test_another_worker_may_take_over_after_a_fault(seed: int):
    log, faults = log_of(2), Faults({8, 15})
    clean = run(log)
    with raising(FaultStage.CUT, faults):
        store = run(log, seed, crash_at=1)
    assert events(store, "good") == events(clean, "good")
    finals = [event for event in events(store, "good") if isinstance(event, TranscriptFinal)]
    assert len(finals) == 4


def test_a_final_that_cannot_be_rendered_fails_its_utterance_alone():
    log, faults = log_of(), Faults({1})
    with raising(FaultStage.FINAL, faults):
        worker = Worker()
        worker.read(*log.records)
        worker.finish_all()
    of_bad = [type(event) for event in events(worker.store, "bad")]
    assert of_bad.count(UtteranceFailed) == of_bad.count(TranscriptFinal) == 1
    (letter,) = worker.store.dead_letters
    assert letter.reason is Reason.UNDECODABLE
    assert letter.utterance is not None
    assert "StageError was raised for this utterance and no other" in letter.message


def test_an_utterance_whose_partial_cannot_be_rendered_has_a_final():
    log = Log()
    log.speak("bad", SPEECH, end=True, options=StreamOptions(partials=True))
    worker = Worker()
    with raising(FaultStage.PARTIAL, Faults({1})):
        for record in log.records:
            worker.read(record)
            for job in list(worker.interims):
                worker.finish(job)
    worker.finish_all()
    assert [event.utterance for event in worker.finals] == [0, 1]
    assert [each.stage for each in worker.contained] == ["partial"]
