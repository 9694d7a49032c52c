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
from builders import MODEL, PARTITION, RATE, Log, fresh, loud, quiet
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import Worker, said, sorted_by_stream, survive, work

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
    """One log of several streams, their records shuffled into each other."""
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


def test_streams_of_one_log_do_not_touch_each_other():
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
        said = [(type(e), getattr(e, "text", None), e.index) for e in of(together.events, name)]
        assert said == [(type(e), getattr(e, "text", None), e.index) for e in alone.events]
    assert together.task.streams == 0


def test_what_becomes_of_records():
    log, worker = Log(), Worker()
    first = log.append(AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=0))
    again = log.append_raw(first.key, first.value, first.headers)
    wrong = log.append_raw(first.key, first.value, [("codec", b"g722")])
    assert worker.read(first, again, wrong) == [
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
        Outcome.DEAD_LETTER,
    ]


def test_a_dead_letter_holds_the_record_and_the_reason_and_leaves_once():
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


def test_a_batch_that_nobody_can_read_is_one_dead_letter_and_counts_every_record():
    log, worker = Log(), Worker()
    first = log.append_unread(5)
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


def test_of_a_batch_that_was_read_in_part_the_rest_is_a_dead_letter():
    """It was whole when a worker read as far as its second record."""
    log, worker = Log(), Worker(fresh(2))
    worker.read(log.append_unread(3))
    worker.commit()
    (letter,) = worker.store.dead_letters
    assert (letter.record.offset, letter.records) == (2, 1)
    assert worker.task.ledger.committed.tally == Tally(dead_letter=1)


def test_a_batch_that_was_passed_before_is_no_dead_letter_again():
    log, worker = Log(), Worker(replace(fresh(3), partition=PartitionState(3, 0)))
    assert worker.read(log.append_unread(3)) == [None]
    worker.commit()
    assert worker.store.dead_letters == []
    assert worker.task.ledger.committed == PartitionState(3, 3, clean=False)


def test_a_record_that_contradicts_its_stream_is_a_dead_letter_and_the_stream_goes_on():
    log, worker = Log(), Worker()
    for seq, start in enumerate([0, RATE, RATE // 2, 2 * RATE]):
        chunk = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=seq, start=start)
        worker.read(log.append(chunk))
    worker.read(log.append(AudioChunk("s", b"", end=True)))
    worker.finish_all()
    assert [letter.reason for letter in worker.store.dead_letters] == [Reason.OVERLAP]
    finals = [event for event in worker.events if isinstance(event, TranscriptFinal)]
    assert [(f.start_sample, f.end_sample) for f in finals] == [(0, 2 * RATE), (2 * RATE, 3 * RATE)]


def test_a_record_that_proves_to_contradict_its_stream_late_is_counted_as_its_dead_letter_says():
    log, worker = Log(), Worker()
    for seq, start in ((0, 0), (2, 100), (1, RATE)):  # 2 waits for 1
        chunk = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=seq, start=start)
        assert worker.read(log.append(chunk)) == [Outcome.ACCEPTED]
    worker.finish_all()
    assert [letter.record.offset for letter in worker.store.dead_letters] == [1]
    assert worker.commits[-1].state.tally == Tally(accepted=2, dead_letter=1)


def test_a_job_says_what_the_planner_needs():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records, now=7.0)
    (job,) = worker.jobs
    assert (job.epoch, job.kind, job.lane) == (1, JobKind.FINAL, Lane.LIVE)
    assert (job.closed_at, job.deadline) == (7.0, 7.5)
    worker.step(8.0)
    assert worker.jobs == [job]


def test_a_final_says_where_its_audio_stands_and_what_wrote_it():
    log, worker = Log(), Worker()
    log.speak("s", np.concatenate([quiet(1), loud(1), quiet(1)]), end=True)
    worker.read(*log.records)
    (final,) = worker.finish(worker.jobs[0])
    assert final.model == replace(MODEL, fold=False)
    assert final.source.topic == PARTITION.topic
    assert (final.source.first_offset, final.source.last_offset) == (6, 22)


def test_a_result_comes_once():
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


def test_an_open_utterance_ends_when_its_stream_stalls():
    worker = Worker(stall_s=2.0)
    speaking(worker, now=10.0)
    worker.tick(12.0)
    assert worker.jobs == []
    worker.tick(12.3)
    assert [job.utterance.end_reason for job in worker.jobs] == [EndReason.STALLED]
    worker.tick(20.0)
    assert len(worker.jobs) == 1


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


def test_idleness_does_not_depend_on_the_machines_date():
    """Append times come from the brokers, whose clocks may differ by an hour."""
    log, worker = Log(), Worker(idle_s=300.0)
    log.now_ms = 0
    log.speak("s", loud(1), end=False)
    worker.read(*log.records)
    worker.tick(1.0)
    assert worker.task.streams == 1


def test_behind_the_log_only_append_times_make_a_stream_idle():
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


def test_a_stream_comes_back_after_it_was_idle():
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


# --- how late it is


def test_an_utterance_is_late_from_the_record_that_decided_it_until_it_is_published():
    """Records of 100 ms, the first appended at 0.1 s: silence is certain with that at 1.6 s."""
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


def test_an_utterance_that_goes_on_is_not_late():
    log, worker = Log(), Worker()
    log.now_ms = 0
    worker.tick(0.0, caught_up=True)
    log.speak("s", loud(10), end=False)
    worker.read(*log.records, now=10.0)
    worker.commit()
    worker.tick(10.0, caught_up=True)
    assert worker.task.lag_ms(10.0, 0) == 0
    assert worker.task.behind_ms > 9_000


# --- what has to be decided, and what may be forgotten


def test_a_stream_that_trickles_does_not_hold_up_the_partition():
    log, worker = Log(), Worker(stall_s=1_000.0)
    for turn in range(7):
        log.now_ms += 11_000
        chunk = AudioChunk("s", loud(0.5).tobytes(), rate=RATE, channels=1)
        worker.read(log.append(chunk), now=11.0 * turn)
        worker.tick(11.0 * turn, caught_up=True)
        worker.commit()
    assert [job.utterance.end_reason for job in worker.jobs] == [EndReason.STALLED]


def test_whoever_takes_over_does_not_take_the_time_before_for_silence():
    log, first = Log(), Worker(idle_s=300.0)
    log.speak("s", loud(1), end=False)
    first.read(*log.records)
    first.tick(10.0)  # it stalls: all of it is decided
    first.finish_all()
    first.commit()
    second = Worker(recover(first.store.found(PARTITION), from_earliest=True), idle_s=300.0)
    assert second.task.ledger.position == len(log.records)
    second.tick(40_001.0)  # the clock counts from when the machine was started
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


# --- utterances that end workers


def killed(store: MemoryStore, records: Sequence[Record]) -> Worker:
    """A worker that has what the one before had in hand, and dies of it like that one."""
    worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    worker.keeps_dying = True
    worker.read(*records[worker.task.ledger.position :])
    worker.commit()
    worker.score()
    worker.commit()
    return worker


def test_an_utterance_that_ends_three_workers_is_given_up():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("bad", np.concatenate([loud(1), quiet(1)]), end=False)
    log.speak("good", np.concatenate([loud(2), quiet(1)]), end=True)
    first = killed(store, log.records)
    assert [job.isolated for job in first.jobs] == [False, False]
    for _ in range(3):
        worker = killed(store, log.records)
        (job,) = worker.jobs  # one at a time, and the other one has to wait
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


def test_an_utterance_that_ends_workers_at_once_is_given_up_all_the_same():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("bad", np.concatenate([loud(1), quiet(1)]), end=False)
    deaths = 0
    while deaths < 9 and not any(isinstance(event, UtteranceFailed) for event in store.events):
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
        worker.keeps_dying = True
        worker.read(*log.records[worker.task.ledger.position :])
        while not worker.jobs and worker.task.ledger.has_output:
            worker.commit()  # what has to be, before a decode may begin
        deaths += bool(worker.jobs)
        if deaths == 1:
            store.write(first_commit(log.records))
    assert deaths == 5  # the first, one more before it is known, and three tries


def first_commit(records: Sequence[Record]) -> Commit:
    """What a worker had committed that died with nearly all of them in hand."""
    worker = Worker()
    worker.read(records[0])
    commit = worker.commit()
    assert commit is not None
    return commit


def test_a_draft_is_told_though_a_newer_one_is_asked_for_while_it_is_decoded():
    """Else a worker that is slower than new drafts come would tell none."""
    log, worker = Log(), Worker()
    log.speak("s", loud(3), end=False, options=StreamOptions(partials=True))
    for record in log.records:
        worker.read(record)
    jobs = worker.interims
    assert len(jobs) == 7
    for job in (*jobs[-2:], jobs[0], jobs[-1]):
        worker.answer(job, echo(job.utterance.samples))
    told = [event for event in worker.broadcast if isinstance(event, TranscriptPartial)]
    assert [partial.revision for partial in told] == [1, 2]


def test_no_draft_is_decoded_of_what_may_have_ended_a_worker():
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("s", loud(2), end=False, options=StreamOptions(partials=True))
    first = Worker(store=store)
    first.read(*log.records)
    assert len(first.interims) == 1
    store.write(first_commit(log.records))
    second = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    second.read(*log.records)
    assert second.interims == []


def test_after_a_clean_end_nothing_is_suspected():
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


def audio_of(parts: Runs) -> Int16Array:
    return np.concatenate([(loud if is_loud else quiet)(ms / 1000) for is_loud, ms in parts])


def heard_of(
    events: Sequence[AnyEvent], audio: Mapping[str, Int16Array]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Per stream, which samples some final covers."""
    covered = {name: np.zeros(len(samples), bool) for name, samples in audio.items()}
    for event in events:
        if isinstance(event, TranscriptFinal):
            covered[event.stream_id][event.start_sample : event.end_sample] = True
    return covered


def check_nothing_is_lost(events: Sequence[AnyEvent], streams: Mapping[str, Runs]) -> None:
    audio = {name: audio_of(parts) for name, parts in streams.items()}
    covered = heard_of(events, audio)
    for name, samples in audio.items():
        edges = np.flatnonzero(np.diff(np.concatenate([[0], samples != 0, [0]]).astype(int)))
        for start, end in edges.reshape(-1, 2).tolist():
            if end - start >= (MIN_SPEECH_MS + MARGIN_MS) * MS:
                assert covered[name][start:end].all(), (name, start, end)


def whole(records: Sequence[Record], **more: Any) -> list[AnyEvent]:
    """What a worker publishes that nothing happens to."""
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
def test_a_crash_loses_nothing_and_repeats_nothing(
    streams: dict[str, Runs], crashes: list[float], seed: int
):
    audio = {name: audio_of(parts) for name, parts in streams.items()}
    records = interleaved(seed, **audio).records
    chance, store = random.Random(seed), MemoryStore(log_end=len(records))
    for crash in [*crashes, 1.0]:
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
        begin = worker.task.ledger.position
        stop = begin + round(crash * (len(records) - begin))
        work(worker, records[begin:stop], chance)
        if crash == 1.0:
            worker.finish_all()
            worker.commit()
    assert [said(e) for e in sorted_by_stream(store.events)] == [
        said(e) for e in sorted_by_stream(whole(records))
    ]
    state = store.found(PARTITION).partition
    assert state is not None
    assert state.resume_offset == state.next_offset == len(records)
    assert state.tally == Tally(accepted=len(records))


def sounding(start: int, end: int) -> IdentifiedLanguage:
    """What a stretch of audio sounds like: anything, but always the same."""
    chance = random.Random(f"{start} {end}")
    return IdentifiedLanguage(
        chance.choice(["zh", "en"]), chance.uniform(0.3, 1), chance.uniform(0, 4)
    )


def write_as_heard(job: Job) -> Hypothesis:
    heard = sounding(job.utterance.start, job.utterance.end)
    language = job.language.decide(heard)
    return replace(echo(job.utterance.samples), language=language, identified=heard)


def languages_in_order(events: Sequence[AnyEvent]) -> list[str]:
    """What the finals of a stream are to be decoded as, told from their audio one by one."""
    held, chosen = UNKNOWN, []
    for event in events:
        if isinstance(event, TranscriptFinal):
            heard = sounding(event.start_sample, event.end_sample)
            chosen.append(held.decide(heard))
            held = held.updated(heard)
    return chosen


@pytest.mark.parametrize("ended", [1, 2])
def test_a_successor_knows_what_was_held_as_of_the_last_final_that_is_out(ended: int):
    log, store = Log(), MemoryStore(log_end=100)
    log.speak("s", audio_of([(True, 1_000), (False, 1_000)] * 3), end=False)
    zh = IdentifiedLanguage("zh", 0.95, 3.0)
    worker = Worker(
        store=store, write=lambda job: replace(write_as_heard(job), language="zh", identified=zh)
    )
    worker.read(*log.records)
    for job in worker.jobs[:ended]:
        worker.finish(job)
    worker.commit()
    successor = Worker(recover(store.found(PARTITION), from_earliest=True), store=store)
    successor.keeps_dying = True
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
def test_a_language_depends_on_the_audio_before_it_alone(
    streams: dict[str, Runs], crashes: list[float], seed: int
):
    """Not on which texts came when, what was decoded together, or where a worker ended."""
    records = interleaved(seed, **{name: audio_of(parts) for name, parts in streams.items()})
    log, chance, store = records.records, random.Random(seed), MemoryStore(log_end=10_000)
    for crash in [*crashes, 1.0]:
        found = recover(store.found(PARTITION), from_earliest=True)
        worker = Worker(found, store=store, write=write_as_heard)
        left = log[worker.task.ledger.position :]
        work(worker, left[: round(crash * len(left))], chance)
        if crash == 1.0:
            worker.finish_all()
            worker.commit()
    for name in streams:
        told = [e.language for e in of(store.events, name) if isinstance(e, TranscriptFinal)]
        assert told == languages_in_order(of(store.events, name))
    assert [said(e) for e in sorted_by_stream(store.events)] == [
        said(e) for e in sorted_by_stream(whole(log, write=write_as_heard))
    ]


@given(streams=several, seed=st.integers())
@examples(40)
def test_without_a_crash_nothing_is_repeated_and_all_is_in_order(
    streams: dict[str, Runs], seed: int
):
    log = interleaved(seed, **{name: audio_of(parts) for name, parts in streams.items()})
    worker = Worker()
    work(worker, log.records, random.Random(seed))
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


# --- whatever publishers send


@dataclass(frozen=True)
class Odd:
    """A chunk as it is drawn: short to print."""

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
        told = {name: value for name, value in vars(self).items() if name not in {"is_loud", "ms"}}
        return AudioChunk(payload=payload, **told)


odd_chunks = st.builds(
    Odd,
    stream_id=st.sampled_from(["one", "two"]),
    is_loud=st.booleans(),
    ms=st.sampled_from([2, 300, 900, 3_000]),
    rate=st.sampled_from([RATE, RATE, RATE, 8_000]),
    channels=st.sampled_from([1, 1, 1, 2]),
    seq=st.none() | st.integers(0, 6),
    start=st.none() | st.integers(0, 20).map(lambda s: s * RATE // 4),
    captured_ms=st.none() | st.integers(0, 10_000),
    end=st.booleans(),
    flush=st.booleans(),
)
pauses_s = st.sampled_from([0.0, 0.0, 1.0, 3.0, 400.0])


@dataclass(frozen=True)
class Hole:
    """A batch that nobody can read."""

    records: int


anything = odd_chunks | odd_chunks | odd_chunks | st.builds(Hole, records=st.integers(1, 3))


def append(log: Log, sent: Odd | Hole) -> Record | UnreadableBatch:
    return log.append_unread(sent.records) if isinstance(sent, Hole) else log.append(sent.chunk())


@given(sent=st.lists(st.tuples(anything, pauses_s), max_size=15), seed=st.integers())
@examples(100)
def test_whatever_is_sent_sessions_are_whole_and_all_of_the_log_is_passed(
    sent: list[tuple[Odd | Hole, float]], seed: int
):
    log, worker, chance, now = Log(), Worker(), random.Random(seed), 0.0
    for chunk, pause_s in sent:
        now += pause_s
        log.now_ms += round(pause_s * 1000)
        worker.take(append(log, chunk), now=now)
        if chance.random() < 0.7:
            worker.tick(now + pause_s, caught_up=chance.random() < 0.5)
    worker.score()
    worker.tick(now + 1_000)
    worker.finish_all()
    worker.commit()
    assert worker.task.streams == 0
    assert worker.task.ledger.committed.resume_offset == len(log.records)
    check_sessions_are_whole(worker.events)


def check_sessions_are_whole(events: Sequence[AnyEvent]) -> None:
    """I1 to I3 of docs/guarantees.md, of sessions that have all ended."""
    by_session = defaultdict(list)
    for event in events:
        by_session[event.session_id].append(event)
    for told in by_session.values():
        assert [event.index for event in told] == list(range(len(told)))
        assert isinstance(told[0], StreamStarted)
        assert [isinstance(event, StreamEnded) for event in told].index(True) == len(told) - 1
        placed = [event for event in told if isinstance(event, TranscriptFinal | StreamGap)]
        for before, after in pairwise(placed):
            assert before.end_sample <= after.start_sample


def log_of(sent: Sequence[tuple[Odd | Hole, float]]) -> list[Record | UnreadableBatch]:
    log = Log()
    for odd, pause_s in sent:
        log.now_ms += round(pause_s * 1000)
        append(log, odd)
    return log.records


odd_logs = st.lists(st.tuples(anything, pauses_s), min_size=1, max_size=25)
crash_seeds = st.lists(st.integers(0, 1 << 16), max_size=5)


@given(sent=odd_logs, crashes=crash_seeds)
@examples(150)
def test_whatever_is_sent_a_crash_loses_and_repeats_nothing(
    sent: list[tuple[Odd | Hole, float]], crashes: list[int]
):
    records = log_of(sent)
    told, expected = survive(records, crashes), survive(records, [])
    assert [said(e) for e in sorted_by_stream(told.events)] == [
        said(e) for e in sorted_by_stream(expected.events)
    ]
    assert sorted(told.dead_letters, key=by_offset) == sorted(expected.dead_letters, key=by_offset)
    found, wanted = told.found(PARTITION).partition, expected.found(PARTITION).partition
    assert found is not None
    assert wanted is not None
    assert (found.next_offset, found.resume_offset) == (len(records), len(records))
    assert found.tally == wanted.tally
    assert found.tally.dead_letter == sum(letter.records or 1 for letter in told.dead_letters)
    assert sum(asdict(found.tally).values()) == len(records)


@given(sent=odd_logs, crashes=crash_seeds)
@examples(100)
def test_sessions_are_whole_also_where_time_ends_them(
    sent: list[tuple[Odd | Hole, float]], crashes: list[int]
):
    """How long a worker waited, its successor cannot know: what it ended has to stay ended."""
    check_sessions_are_whole(survive(log_of(sent), crashes, ticks=True).events)


def by_offset(letter: DeadLetter) -> int:
    return letter.record.offset
