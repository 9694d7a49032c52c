from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from budget import examples
from builders import (
    MODEL,
    OPTIONS,
    PARTITION,
    RATE,
    Log,
    audio_of,
    fresh,
    loud,
    loud_stretches,
    quiet,
)
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import (
    Worker,
    crash_seeds,
    drive_randomly,
    run_with_crashes,
    sorted_by_stream,
    without_timing,
)

from consumer.core.audio.utterance import EndReason, Int16Array
from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.state import PartitionState, Tally, recover
from consumer.core.scheduling.jobs import Job, JobKind
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.language import UNKNOWN, IdentifiedLanguage, LanguageHold
from consumer.core.streams.records import Lane, Record, UnreadableBatch
from consumer.core.text.hypothesis import Hypothesis
from consumer.testing import MemoryStore, echo
from schemas.audio import AudioChunk, StreamOptions
from schemas.errors import Reason
from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamStarted,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceFailed,
)


def interleaved(seed: int, **streams: Int16Array) -> Log:
    """Return a log in which the records of the streams are interleaved at random."""
    logs = {}
    for name, audio in streams.items():
        logs[name] = Log()
        logs[name].speak(name, audio, end=True)
    turns = [name for name, log in logs.items() for _ in log.records]
    random.Random(seed).shuffle(turns)
    merged, queues = Log(), {name: iter(log.records) for name, log in logs.items()}
    for name in turns:
        record = next(queues[name])
        merged.append_raw(record.key, record.value, record.headers)
    return merged


def of(events: Sequence[AnyEvent], stream_id: str) -> list[AnyEvent]:
    return [event for event in events if event.stream_id == stream_id]


def summary(events: Sequence[AnyEvent]) -> list[tuple[type[AnyEvent], str | None, int]]:
    return [(type(event), getattr(event, "text", None), event.index) for event in events]


def test_streams_of_one_log_are_independent():
    audio = {
        "one": np.concatenate([quiet(1), loud(1), quiet(1), loud(2), quiet(1)]),
        "two": np.concatenate([loud(3), quiet(1)]),
        "three": quiet(2),
    }
    together = Worker()
    together.read(*interleaved(1, **audio).records)
    together.finish_all()
    together.commit()
    for name, samples in audio.items():
        alone = Worker()
        alone.read(*interleaved(1, **{name: samples}).records)
        alone.finish_all()
        alone.commit()
        assert summary(of(together.events, name)) == summary(alone.events)
    assert together.task.streams == 0


def test_records_have_outcomes():
    log, worker = Log(), Worker()
    first = log.append(AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=0))
    again = log.append_raw(first.key, first.value, first.headers)
    wrong = log.append_raw(first.key, first.value, [("codec", b"g722")])
    assert worker.read(first, again, wrong) == [
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
        Outcome.DEAD_LETTER,
    ]


def test_a_dead_letter_has_its_record_and_reason_and_is_published_once():
    log, worker = Log(), Worker()
    bad = log.append_raw(b"s", b"\0\0", [("codec", b"g722")])
    worker.read(bad)
    assert worker.task.ledger.has_output
    commit = worker.commit()
    assert commit is not None
    (letter,) = commit.dead_letters
    assert (letter.record, letter.reason) == (bad, Reason.UNKNOWN_CODEC)
    assert "g722" in letter.message
    assert commit.state.next_offset == commit.state.resume_offset == 1
    assert worker.task.streams == 0
    assert worker.commit() is None


def test_a_dead_letter_in_an_open_session_has_the_options_of_the_session():
    log, worker = Log(), Worker()
    asked = replace(OPTIONS, languages=("de",), prompt="so far")
    first = AudioChunk("s", loud(0.1).tobytes(), rate=RATE, channels=1, options=asked)
    worker.read(log.append(first), log.append_raw(b"s", b"\0\0", [("codec", b"g722")]))
    worker.read(log.append(AudioChunk("s", b"", end=True)))
    worker.read(log.append_raw(b"s", b"\0\0", [("codec", b"g722")]))
    worker.read(log.append_raw(b"other", b"\0\0", [("codec", b"g722")]))
    worker.finish_all()
    assert [letter.options for letter in worker.store.dead_letters] == [asked, None, None]


def test_a_dead_letter_has_the_options_of_the_session_that_is_open_after_all_records():
    log, worker = Log(), Worker()
    for run, language in (("a", "de"), ("b", "fr")):
        options = replace(OPTIONS, languages=(language,))
        sent = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, options=options, run=run)
        worker.take(log.append(replace(sent, seq=0)))
    worker.take(log.append_raw(b"s", b"\0\0", [("codec", b"g722")]))
    worker.score()
    worker.finish_all()
    (letter,) = worker.store.dead_letters
    assert letter.options == replace(OPTIONS, languages=("fr",))


def test_a_record_that_was_held_back_and_rejected_has_the_options_of_its_session():
    log, worker = Log(), Worker()
    sent = AudioChunk("s", loud(0.1).tobytes(), rate=RATE, channels=1)
    for more in ({"seq": 0}, {"seq": 2, "start": 0}, {"seq": 1}):
        worker.read(log.append(replace(sent, **more)))
    worker.finish_all()
    (letter,) = worker.store.dead_letters
    assert (letter.reason, letter.options) == (Reason.OVERLAP, OPTIONS)


def test_a_dead_letter_of_a_second_publisher_has_no_options_of_the_session():
    log, worker = Log(), Worker()
    sent = AudioChunk("s", loud(0.1).tobytes(), rate=RATE, channels=1)
    for seq in range(5):
        payload = loud(0.2).tobytes() if seq == 3 else sent.payload
        worker.read(log.append(replace(sent, payload=payload, seq=seq)))
    worker.read(log.append(replace(sent, seq=3)))
    worker.finish_all()
    (letter,) = worker.store.dead_letters
    assert (letter.reason, letter.options) == (Reason.SECOND_PUBLISHER, None)


@pytest.mark.parametrize("headers", [[("seq", None)], [("seq", b"1"), ("seq", b"2")]])
def test_a_rejected_record_without_one_valid_number_is_a_dead_letter(headers: list[Any]):
    log, worker = Log(), Worker()
    worker.read(log.append(AudioChunk("s", loud(0.1).tobytes(), seq=0)))
    bad = log.append_raw(b"s", b"\0\0", [*headers, ("rate", b"fast")])
    assert worker.read(bad) == [Outcome.DEAD_LETTER]


def test_an_unreadable_batch_is_one_dead_letter_that_counts_all_its_records():
    log, worker = Log(), Worker()
    first = log.append_unreadable(5)
    log.speak("s", loud(1), end=True)
    assert worker.read(first) == [Outcome.DEAD_LETTER]
    worker.read(*log.records)
    worker.finish_all()
    (letter,) = worker.store.dead_letters
    assert (letter.record.offset, letter.records, letter.record.value) == (0, 5, b"batch")
    assert letter.reason == Reason.CORRUPT_BATCH
    state = worker.task.ledger.committed
    assert (state.next_offset, state.resume_offset) == (15, 15)
    assert state.tally == Tally(accepted=10, dead_letter=5)
    assert [type(event) for event in worker.events] == [StreamStarted, TranscriptFinal, StreamEnded]


def test_the_unread_rest_of_an_unreadable_batch_is_a_dead_letter():
    """The batch was readable when an earlier worker read its first two records."""
    log, worker = Log(), Worker(fresh(2))
    worker.read(log.append_unreadable(3))
    worker.commit()
    (letter,) = worker.store.dead_letters
    assert (letter.record.offset, letter.records) == (2, 1)
    assert worker.task.ledger.committed.tally == Tally(dead_letter=1)


def test_an_unreadable_batch_is_not_dead_lettered_again_in_a_replay():
    log, worker = Log(), Worker(replace(fresh(3), partition=PartitionState(3, 0)))
    assert worker.read(log.append_unreadable(3)) == [None]
    worker.commit()
    assert worker.store.dead_letters == []
    assert worker.task.ledger.committed == PartitionState(3, 3, clean=False)


def test_a_record_that_contradicts_its_stream_is_a_dead_letter_and_the_stream_continues():
    log, worker = Log(), Worker()
    for seq, start in enumerate([0, RATE, RATE // 2, 2 * RATE]):
        chunk = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=seq, start=start)
        worker.read(log.append(chunk))
    worker.read(log.append(AudioChunk("s", b"", end=True)))
    worker.finish_all()
    assert [letter.reason for letter in worker.store.dead_letters] == [Reason.OVERLAP]
    finals = [event for event in worker.events if isinstance(event, TranscriptFinal)]
    assert [(f.start_sample, f.end_sample) for f in finals] == [(0, 2 * RATE), (2 * RATE, 3 * RATE)]


def test_a_reordered_record_that_contradicts_its_stream_is_recounted_as_a_dead_letter():
    log, worker = Log(), Worker()
    for seq, start in ((0, 0), (2, 100), (1, RATE)):  # 2 waits for 1
        chunk = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=seq, start=start)
        assert worker.read(log.append(chunk)) == [Outcome.ACCEPTED]
    worker.finish_all()
    assert [letter.record.offset for letter in worker.store.dead_letters] == [1]
    assert worker.commits[-1].state.tally == Tally(accepted=2, dead_letter=1)


def test_a_job_has_epoch_kind_lane_and_deadline():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records, now=7.0)
    (job,) = worker.jobs
    assert (job.epoch, job.kind, job.lane) == (1, JobKind.FINAL, Lane.LIVE)
    assert (job.closed_at, job.deadline) == (7.0, 7.5)
    worker.step(8.0)
    assert worker.jobs == [job]


def test_a_final_names_its_model_and_the_offsets_of_its_audio():
    log, worker = Log(), Worker()
    log.speak("s", np.concatenate([quiet(1), loud(1), quiet(1)]), end=True)
    worker.read(*log.records)
    (final,) = worker.finish(worker.jobs[0])
    assert final.model == replace(MODEL, fold=False)
    assert final.source.topic == PARTITION.topic
    assert (final.source.first_offset, final.source.last_offset) == (6, 22)


def test_a_repeated_answer_is_ignored():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records)
    (job,) = worker.jobs
    worker.finish(job)
    assert worker.answer(job, echo(job.utterance.samples)) == []
    assert worker.jobs == []


# --- stalled and idle streams


def speaking(worker: Worker, now: float = 0.0) -> None:
    log = Log()
    log.speak("s", loud(1), end=False)
    worker.read(*log.records, now=now)


def stalled(worker: Worker, *parts: Int16Array, numbered: bool = True) -> list[int]:
    """Return the seconds without a record after which each job exists."""
    log = Log()
    log.speak("s", np.concatenate(parts), end=False)
    if not numbered:
        log.records = [record._replace(headers=()) for record in log.records]
    worker.read(*log.records, now=10.0)
    found = []
    for seconds in range(60):
        before = len(worker.jobs)
        worker.tick(10.3 + seconds)
        found += [seconds] * (len(worker.jobs) - before)
    return found


def test_an_open_utterance_ends_after_a_pause_when_its_stream_stalls():
    worker = Worker(stall_s=2.0)
    assert stalled(worker, loud(1), quiet(0.3)) == [2]
    assert [job.utterance.end_reason for job in worker.jobs] == [EndReason.STALLED]


def test_a_stall_in_the_middle_of_speech_waits_longer_if_numbers_show_that_all_came():
    assert stalled(Worker(stall_s=2.0, stall_in_speech_s=10.0), loud(1)) == [10]
    assert stalled(Worker(stall_s=2.0, stall_in_speech_s=10.0), loud(1), numbered=False) == [2]


def test_a_missing_record_is_waited_for_as_long():
    """Two records that are swapped may be fetched seconds apart."""
    log, worker = Log(), Worker(stall_s=2.0, stall_in_speech_s=10.0)
    log.speak("s", loud(1), end=False)
    del log.records[8]
    worker.read(*log.records, now=10.0)
    worker.tick(19.0)
    assert worker.jobs == []
    worker.tick(20.3)
    assert len(worker.jobs) == 1


@pytest.mark.parametrize("before", range(1, 6))
def test_a_delay_costs_nothing_of_the_first_syllable(before: int):
    """A delay after so many records of 0.1 s, while the speech is as short as a click."""
    log, worker = Log(), Worker(stall_s=2.0, stall_in_speech_s=10.0)
    log.speak("s", loud(3), end=True)
    worker.read(*log.records[:before], now=10.0)
    worker.tick(18.0)
    worker.read(*log.records[before:], now=18.1)
    assert [job.utterance.seconds for job in worker.jobs] == [3.0]


@examples(30)
@given(delays=st.lists(st.floats(0.3, 8.0), min_size=1, max_size=5), data=st.data())
def test_delays_tear_no_word(delays: list[float], data: st.DataObject):
    """Speech of five seconds, delivered with delays at any places."""
    log, worker, now = Log(), Worker(), 0.0
    log.speak("s", np.concatenate([loud(5), quiet(1)]), end=True)
    places = {data.draw(st.integers(1, len(log.records) - 1)): delay for delay in delays}
    for at, record in enumerate(log.records):
        until = now + places.get(at, 0.1)
        while now < until:
            now += 0.1
            worker.tick(now)
        worker.read(record, now=now)
    assert [job.utterance.seconds >= 5 for job in worker.jobs] == [True]


def test_nothing_stalls_while_records_wait_in_kafka():
    worker = Worker(stall_s=2.0)
    speaking(worker)
    worker.tick(100.0, caught_up=False)
    assert worker.jobs == []


def test_a_stream_without_records_ends_idle():
    worker = Worker(idle_s=300.0)
    speaking(worker, now=10.0)
    worker.tick(310.0)
    assert worker.task.streams == 1
    worker.tick(310.3)
    assert worker.task.streams == 0
    worker.finish_all()
    worker.commit()
    ended = worker.events[-1]
    assert isinstance(ended, StreamEnded)
    assert ended.reason is StreamEndReason.IDLE


def test_idleness_does_not_depend_on_the_local_clock():
    """Append times come from the brokers, whose clocks may differ by an hour."""
    log, worker = Log(), Worker(idle_s=300.0)
    log.now_ms = 0
    log.speak("s", loud(1), end=False)
    worker.read(*log.records)
    worker.tick(1.0)
    assert worker.task.streams == 1


def test_before_it_has_caught_up_only_append_times_make_a_stream_idle():
    log, worker = Log(), Worker(idle_s=300.0)
    log.speak("old", loud(1), end=False)
    worker.read(*log.records)
    worker.tick(10_000.0, caught_up=False)
    assert worker.task.streams == 1
    log.now_ms += 400_000
    worker.read(log.append(AudioChunk("new", loud(1).tobytes(), rate=RATE, channels=1)))
    worker.tick(10_001.0, caught_up=False)
    assert worker.task.streams == 1
    worker.finish_all()
    worker.commit()
    assert [type(event) for event in of(worker.events, "old")][-1] is StreamEnded


def test_an_idle_stream_starts_a_new_session_with_its_next_record():
    worker = Worker(idle_s=300.0)
    speaking(worker)
    worker.tick(301.0)
    record = Log().append(AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, end=True))
    worker.read(record._replace(offset=50), now=302.0)
    worker.finish_all()
    worker.commit()
    assert [event.session_id for event in worker.events] == ["0-0"] * 3 + ["0-50"] * 3
    assert worker.commit() is None
    assert worker.task.ledger.committed.resume_offset == 51


# --- lag


def test_lag_counts_from_the_record_that_decided_an_utterance_until_its_commit():
    """Records of 100 ms, the first appended at 0.1 s: the one at 1.6 s decides the cut."""
    log, worker = Log(), Worker()
    log.now_ms = 0
    log.speak("s", np.concatenate([loud(1), quiet(1)]), end=False)
    for at_s, record in enumerate(log.records, start=1):
        worker.tick((at_s - 1) / 10, caught_up=True)
        worker.read(record, now=at_s / 10)
        worker.commit()
    worker.tick(2.0, caught_up=True)
    assert worker.task.lag_ms(2.0, 0) == 400
    worker.finish(worker.jobs[0])
    assert worker.task.lag_ms(2.0, 0) == 400
    worker.commit()
    assert worker.task.lag_ms(2.0, 0) == 0


def test_an_open_utterance_has_no_lag():
    log, worker = Log(), Worker()
    log.now_ms = 0
    worker.tick(0.0, caught_up=True)
    log.speak("s", loud(10), end=False)
    worker.read(*log.records, now=10.0)
    worker.commit()
    worker.tick(10.0, caught_up=True)
    assert worker.task.lag_ms(10.0, 0) == 0
    assert worker.task.behind_ms > 9_000


# --- forced cuts and forgotten streams


def test_a_slow_stream_does_not_hold_up_the_partition():
    log, worker = Log(), Worker(stall_s=1_000.0)
    for turn in range(7):
        log.now_ms += 11_000
        chunk = AudioChunk("s", loud(0.5).tobytes(), rate=RATE, channels=1)
        worker.read(log.append(chunk), now=11.0 * turn)
        worker.tick(11.0 * turn, caught_up=True)
        worker.commit()
    assert [job.utterance.end_reason for job in worker.jobs] == [EndReason.STALLED]


def test_idle_time_restarts_when_another_worker_takes_over():
    log, first = Log(), Worker(idle_s=300.0)
    log.speak("s", loud(1), end=False)
    first.read(*log.records)
    first.tick(11.0)  # it stalls, so all its audio is decided
    first.finish_all()
    first.commit()
    second = Worker(recover(first.store.found(PARTITION), from_earliest=True), idle_s=300.0)
    assert second.task.ledger.position == len(log.records)
    second.tick(40_001.0)  # monotonic time of another machine
    second.commit()
    assert second.events == []
    second.tick(40_302.0)
    second.commit()
    assert [event.reason for event in second.events] == [StreamEndReason.IDLE]


def test_an_ended_stream_is_forgotten_after_an_hour():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records)
    worker.finish_all()
    worker.commit()
    assert set(worker.store.found(PARTITION).streams) == {"s"}
    log.now_ms += 3_600_000
    worker.read(log.append(AudioChunk("other", loud(1).tobytes(), rate=RATE, channels=1)))
    worker.tick(1.0, caught_up=False)
    worker.commit()
    assert set(worker.store.found(PARTITION).streams) == {"other"}


# --- utterances that crash workers


def crashed(store: MemoryStore, records: Sequence[Record]) -> Worker:
    """Return a worker that has resumed from the store and crashes on its suspects."""
    worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    worker.crashes_on_suspects = True
    worker.read(*records[worker.task.ledger.position :])
    worker.commit()
    worker.score()
    worker.commit()
    return worker


def test_an_utterance_that_crashes_three_workers_fails_with_a_dead_letter():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("bad", np.concatenate([loud(1), quiet(1)]), end=False)
    log.speak("good", np.concatenate([loud(2), quiet(1)]), end=True)
    first = crashed(store, log.records)
    assert [job.isolated for job in first.jobs] == [False, False]
    for _ in range(3):
        worker = crashed(store, log.records)
        (job,) = worker.jobs  # one at a time; the other one waits
        assert job.isolated
        assert job.id.session.stream_id == "bad"
    worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    worker.read(*log.records[worker.task.ledger.position :])
    worker.finish_all()
    (failed,) = [event for event in store.events if isinstance(event, UtteranceFailed)]
    assert (failed.stream_id, failed.utterance, failed.start_sample) == ("bad", 0, 0)
    (letter,) = store.dead_letters
    assert letter.reason == Reason.UNDECODABLE
    assert letter.record.key == b"bad"
    assert dict(letter.record.headers)["codec"] == b"flac"
    assert [e.text for e in store.events if isinstance(e, TranscriptFinal)] == ["35456 samples"]


def test_an_utterance_that_crashes_workers_before_any_progress_fails_too():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("bad", np.concatenate([loud(1), quiet(1)]), end=False)
    crashes = 0
    while crashes < 9 and not any(isinstance(event, UtteranceFailed) for event in store.events):
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
        worker.crashes_on_suspects = True
        worker.read(*log.records[worker.task.ledger.position :])
        while not worker.jobs and worker.task.ledger.has_output:
            worker.commit()  # required before a decode may begin
        crashes += bool(worker.jobs)
        if crashes == 1:
            store.write(first_commit(log.records))
    assert crashes == 5  # the first, one before the range is suspect, and three attempts


def first_commit(records: Sequence[Record]) -> Commit:
    """Return the commit of a worker that crashed after its first record."""
    worker = Worker()
    worker.read(records[0])
    commit = worker.commit()
    assert commit is not None
    return commit


def test_an_interim_text_is_published_even_if_a_newer_one_is_requested():
    """Else a worker that decodes more slowly than interims are requested would publish none."""
    log, worker = Log(), Worker()
    log.speak("s", loud(3), end=False, options=StreamOptions(partials=True))
    for record in log.records:
        worker.read(record)
    jobs = worker.interims
    assert len(jobs) == 7
    for job in (*jobs[-2:], jobs[0], jobs[-1]):
        worker.answer(job, echo(job.utterance.samples))
    partials = [event for event in worker.broadcast if isinstance(event, TranscriptPartial)]
    assert [partial.revision for partial in partials] == [1, 2]


def test_no_interim_decode_is_made_in_the_suspect_range():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("s", loud(2), end=False, options=StreamOptions(partials=True))
    first = Worker(store=store)
    first.read(*log.records)
    assert len(first.interims) == 1
    store.write(first_commit(log.records))
    second = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    second.read(*log.records)
    assert second.interims == []


def test_after_a_clean_end_nothing_is_suspect():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("s", np.concatenate([loud(1), quiet(1)]), end=False)
    first = Worker(store=store)
    first.read(*log.records)
    assert first.commit(clean=True) is not None
    second = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    second.read(*log.records[second.task.ledger.position :])
    assert [job.isolated for job in second.jobs] == [False]


# --- crashes: exactly once

Runs = list[tuple[bool, int]]
MS = RATE // 1000
MIN_SPEECH_MS, MARGIN_MS = 250, 32
runs = st.lists(st.tuples(st.booleans(), st.integers(100, 2_500)), min_size=3, max_size=5)
several = st.dictionaries(st.sampled_from(["one", "two", "three"]), runs, min_size=2)


def covered_by_finals(
    events: Sequence[AnyEvent], audio: Mapping[str, Int16Array]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return a mask per stream of the samples that finals cover."""
    covered = {name: np.zeros(len(samples), bool) for name, samples in audio.items()}
    for event in events:
        if isinstance(event, TranscriptFinal):
            covered[event.stream_id][event.start_sample : event.end_sample] = True
    return covered


def check_nothing_is_lost(events: Sequence[AnyEvent], streams: Mapping[str, Runs]) -> None:
    audio = {name: audio_of(parts) for name, parts in streams.items()}
    covered = covered_by_finals(events, audio)
    for name, samples in audio.items():
        for start, end in loud_stretches(samples):
            if end - start >= (MIN_SPEECH_MS + MARGIN_MS) * MS:
                assert covered[name][start:end].all(), (name, start, end)


def uninterrupted(records: Sequence[Record], **more: Any) -> list[AnyEvent]:
    """Return the events of a worker that reads all records and does not crash."""
    worker = Worker(**more)
    worker.read(*records)
    worker.finish_all()
    worker.commit()
    return worker.events


@given(
    streams=several,
    crashes=st.lists(st.floats(0.1, 0.9), min_size=1, max_size=4),
    seed=st.integers(0, 1 << 16),
)
@examples(60)
def test_crashes_lose_and_repeat_nothing(streams: dict[str, Runs], crashes: list[float], seed: int):
    audio = {name: audio_of(parts) for name, parts in streams.items()}
    records = interleaved(seed, **audio).records
    rng, store = random.Random(seed), MemoryStore(log_end=len(records))
    for crash in [*crashes, 1.0]:
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
        begin = worker.task.ledger.position
        stop = begin + round(crash * (len(records) - begin))
        drive_randomly(worker, records[begin:stop], rng)
        if crash == 1.0:
            worker.finish_all()
            worker.commit()
    assert [without_timing(e) for e in sorted_by_stream(store.events)] == [
        without_timing(e) for e in sorted_by_stream(uninterrupted(records))
    ]
    state = store.found(PARTITION).partition
    assert state is not None
    assert state.resume_offset == state.next_offset == len(records)
    assert state.tally == Tally(accepted=len(records))


def identified_language(start: int, end: int) -> IdentifiedLanguage:
    """Return a random language that depends on the stretch of audio alone."""
    rng = random.Random(f"{start} {end}")
    return IdentifiedLanguage(rng.choice(["zh", "en"]), rng.uniform(0.3, 1), rng.uniform(0, 4))


def write_identified(job: Job) -> Hypothesis:
    identified = identified_language(job.utterance.start, job.utterance.end)
    language = job.language.decide(identified)
    return replace(echo(job.utterance.samples), language=language, identified=identified)


def languages_in_order(events: Sequence[AnyEvent]) -> list[str]:
    """Return the languages that the finals of a stream should have, from their audio in order."""
    held, chosen = UNKNOWN, []
    for event in events:
        if isinstance(event, TranscriptFinal):
            identified = identified_language(event.start_sample, event.end_sample)
            chosen.append(held.decide(identified))
            held = held.updated(identified)
    return chosen


@pytest.mark.parametrize("ended", [1, 2])
def test_a_successor_restores_the_language_held_as_of_the_last_published_final(ended: int):
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("s", audio_of([(True, 1_000), (False, 1_000)] * 3), end=False)
    zh = IdentifiedLanguage("zh", 0.95, 3.0)
    worker = Worker(
        store=store, write=lambda job: replace(write_identified(job), language="zh", identified=zh)
    )
    worker.read(*log.records)
    for job in worker.jobs[:ended]:
        worker.finish(job)
    worker.commit()
    successor = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    successor.crashes_on_suspects = True
    successor.read(*log.records[successor.task.ledger.position :])
    successor.commit()
    assert [job.language for job in successor.jobs] == [LanguageHold("zh")]


many_utterances = st.dictionaries(
    st.sampled_from(["one", "two"]),
    st.lists(st.integers(400, 1_500), min_size=2, max_size=6).map(
        lambda spoken: [part for ms in spoken for part in ((True, ms), (False, 800))]
    ),
    min_size=1,
)


@given(
    streams=many_utterances,
    crashes=st.lists(st.floats(0.1, 0.9), max_size=3),
    seed=st.integers(0, 1 << 16),
)
@examples(60)
def test_a_language_depends_only_on_the_audio_before_it(
    streams: dict[str, Runs], crashes: list[float], seed: int
):
    """It does not depend on the order of answers, on batches, or on crashes."""
    records = interleaved(seed, **{name: audio_of(parts) for name, parts in streams.items()})
    log, rng, store = records.records, random.Random(seed), MemoryStore(log_end=10_000)
    for crash in [*crashes, 1.0]:
        found = recover(store.found(PARTITION), from_earliest=True)
        worker = Worker(found, store=store, write=write_identified)
        remaining = log[worker.task.ledger.position :]
        drive_randomly(worker, remaining[: round(crash * len(remaining))], rng)
        if crash == 1.0:
            worker.finish_all()
            worker.commit()
    for name in streams:
        actual = [e.language for e in of(store.events, name) if isinstance(e, TranscriptFinal)]
        assert actual == languages_in_order(of(store.events, name))
    assert [without_timing(e) for e in sorted_by_stream(store.events)] == [
        without_timing(e) for e in sorted_by_stream(uninterrupted(log, write=write_identified))
    ]


@given(streams=several, seed=st.integers())
@examples(40)
def test_without_crashes_events_are_complete_and_in_order(streams: dict[str, Runs], seed: int):
    log = interleaved(seed, **{name: audio_of(parts) for name, parts in streams.items()})
    worker = Worker()
    drive_randomly(worker, log.records, random.Random(seed))
    worker.finish_all()
    worker.commit()
    by_session = defaultdict(list)
    for event in worker.events:
        by_session[event.session_id].append(event)
    assert len(by_session) == len(streams)
    for events in by_session.values():
        assert [event.index for event in events] == list(range(len(events)))
        finals = [event for event in events if isinstance(event, TranscriptFinal)]
        assert [final.utterance for final in finals] == list(range(len(finals)))
        for before, after in pairwise(finals):
            assert before.end_sample <= after.start_sample
    check_nothing_is_lost(worker.events, streams)
    assert worker.task.ledger.committed.resume_offset == len(log.records)


# --- arbitrary records


@dataclass(frozen=True)
class AnyChunk:
    """An arbitrary chunk; its repr is short."""

    stream_id: str
    is_loud: bool
    ms: int
    rate: int
    channels: int
    seq: int | None
    start: int | None
    captured_ms: int | None
    end: bool
    flush: bool

    def chunk(self) -> AudioChunk:
        payload = (loud if self.is_loud else quiet)(self.ms / 1000).tobytes()
        fields = {name: v for name, v in vars(self).items() if name not in {"is_loud", "ms"}}
        return AudioChunk(payload=payload, **fields)


any_chunks = st.builds(
    AnyChunk,
    stream_id=st.sampled_from(["one", "two"]),
    is_loud=st.booleans(),
    ms=st.sampled_from([2, 300, 900, 3_000]),
    rate=st.sampled_from([RATE, RATE, RATE, 8_000]),
    channels=st.sampled_from([1, 1, 1, 2]),
    seq=st.none() | st.integers(0, 6),
    start=st.none() | st.integers(0, 20).map(lambda s: s * RATE // 4),
    captured_ms=st.none() | st.integers(0, 10_000).map(lambda ms: 1_700_000_000_000 + ms),
    end=st.booleans(),
    flush=st.booleans(),
)
pauses_s = st.sampled_from([0.0, 0.0, 1.0, 3.0, 400.0])


@dataclass(frozen=True)
class AnyBatch:
    """An unreadable batch."""

    records: int


anything = any_chunks | any_chunks | any_chunks | st.builds(AnyBatch, records=st.integers(1, 3))


def append(log: Log, sent: AnyChunk | AnyBatch) -> Record | UnreadableBatch:
    if isinstance(sent, AnyBatch):
        return log.append_unreadable(sent.records)
    return log.append(sent.chunk())


@given(sent=st.lists(st.tuples(anything, pauses_s), max_size=15), seed=st.integers())
@examples(100)
def test_with_arbitrary_records_sessions_are_complete_and_the_whole_log_is_read(
    sent: list[tuple[AnyChunk | AnyBatch, float]], seed: int
):
    log, worker, rng, now = Log(), Worker(), random.Random(seed), 0.0
    for chunk, pause_s in sent:
        now += pause_s
        log.now_ms += round(pause_s * 1000)
        worker.take(append(log, chunk), now=now)
        if rng.random() < 0.7:
            worker.tick(now + pause_s, caught_up=rng.random() < 0.5)
    worker.score()
    worker.tick(now + 1_000)
    worker.finish_all()
    worker.commit()
    assert worker.task.streams == 0
    assert worker.task.ledger.committed.resume_offset == len(log.records)
    check_sessions_are_complete(worker.events)


def check_sessions_are_complete(events: Sequence[AnyEvent]) -> None:
    """Check I1 to I3 of docs/guarantees.md for sessions that have all ended."""
    by_session = defaultdict(list)
    for event in events:
        by_session[event.session_id].append(event)
    for session in by_session.values():
        assert [event.index for event in session] == list(range(len(session)))
        assert isinstance(session[0], StreamStarted)
        assert [isinstance(event, StreamEnded) for event in session].index(True) == len(session) - 1
        placed = [event for event in session if isinstance(event, TranscriptFinal | StreamGap)]
        for before, after in pairwise(placed):
            assert before.end_sample <= after.start_sample


def log_of(sent: Sequence[tuple[AnyChunk | AnyBatch, float]]) -> list[Record | UnreadableBatch]:
    log = Log()
    for item, pause_s in sent:
        log.now_ms += round(pause_s * 1000)
        append(log, item)
    return log.records


any_logs = st.lists(st.tuples(anything, pauses_s), min_size=1, max_size=25)


@given(sent=any_logs, crashes=crash_seeds)
@examples(150)
def test_with_arbitrary_records_crashes_lose_and_repeat_nothing(
    sent: list[tuple[AnyChunk | AnyBatch, float]], crashes: list[int]
):
    records = log_of(sent)
    store, expected = run_with_crashes(records, crashes), run_with_crashes(records, [])
    assert [without_timing(e) for e in sorted_by_stream(store.events)] == [
        without_timing(e) for e in sorted_by_stream(expected.events)
    ]
    assert sorted(store.dead_letters, key=by_offset) == sorted(expected.dead_letters, key=by_offset)
    found, wanted = store.found(PARTITION).partition, expected.found(PARTITION).partition
    assert found is not None
    assert wanted is not None
    assert (found.next_offset, found.resume_offset) == (len(records), len(records))
    assert found.tally == wanted.tally
    assert found.tally.dead_letter == sum(letter.records or 1 for letter in store.dead_letters)
    assert sum(asdict(found.tally).values()) == len(records)


@given(sent=any_logs, crashes=crash_seeds)
@examples(100)
def test_with_arbitrary_records_sessions_that_time_out_are_complete_too(
    sent: list[tuple[AnyChunk | AnyBatch, float]], crashes: list[int]
):
    """A session that a worker ended on a timeout stays ended after a crash."""
    check_sessions_are_complete(run_with_crashes(log_of(sent), crashes, ticks=True).events)


def by_offset(letter: DeadLetter) -> int:
    return letter.record.offset
