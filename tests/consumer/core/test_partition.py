from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from builders import MODEL, PARTITION, RATE, Log, loud, policy, quiet, score_all
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.core.events import Decoded
from consumer.core.partition import Outcome, PartitionTask
from consumer.core.progress import Commit
from consumer.core.values import EndReason, Int16Array, Job, JobKind, Lane, Record
from consumer.testing import EchoEngine, echo
from schemas.audio import AudioChunk
from schemas.errors import Reason
from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamStarted,
    TranscriptFinal,
)


class Worker:
    """One assignment of the partition, step by step; what is not committed dies with it."""

    def __init__(self, next_offset: int = 0, **changes: float) -> None:
        self.task = PartitionTask(PARTITION, 1, next_offset, policy(**changes))
        self.jobs: list[Job] = []
        self.commits: list[Commit] = []
        self._engine = EchoEngine()

    def read(self, *records: Record, now: float = 0.0) -> list[Outcome]:
        outcomes = self.take(*records, now=now)
        self.listen(now)
        return outcomes

    def take(self, *records: Record, now: float = 0.0) -> list[Outcome]:
        """Without listening to them yet."""
        return [self.task.ingest(record, now) for record in records]

    def listen(self, now: float = 0.0) -> None:
        score_all(self.task, self._engine)
        self.jobs += self.task.jobs(now)

    def tick(self, now: float, *, caught_up: bool = True) -> None:
        self.task.tick(now, caught_up=caught_up)
        self.listen(now)

    def finish(self, job: Job) -> TranscriptFinal:
        self.jobs.remove(job)
        hypothesis = echo(job.utterance.samples)
        return self.task.finish(job.id, Decoded(hypothesis, 1, 2, self.task.time_ms))

    def finish_all(self) -> None:
        for job in list(self.jobs):
            self.finish(job)

    def commit(self) -> Commit | None:
        commit = self.task.ledger.prepare()
        if commit is not None:
            self.task.ledger.post(commit)
            self.commits.append(commit)
        return commit

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]


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
    assert commit.next_offset == commit.resume_offset == 1
    assert worker.task.streams == 0
    assert worker.commit() is None


def test_a_record_that_contradicts_its_stream_is_a_dead_letter_and_the_stream_goes_on():
    log, worker = Log(), Worker()
    for seq, start in enumerate([0, RATE, RATE // 2, 2 * RATE]):
        chunk = AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1, seq=seq, start=start)
        worker.read(log.append(chunk))
    worker.read(log.append(AudioChunk("s", b"", end=True)))
    worker.finish_all()
    commit = worker.commit()
    assert commit is not None
    assert [letter.reason for letter in commit.dead_letters] == [Reason.OVERLAP]
    (final,) = [event for event in commit.events if isinstance(event, TranscriptFinal)]
    assert (final.start_sample, final.end_sample) == (0, 3 * RATE)


def test_a_job_says_what_the_planner_needs():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records, now=7.0)
    (job,) = worker.jobs
    assert (job.epoch, job.kind, job.lane) == (1, JobKind.FINAL, Lane.LIVE)
    assert (job.closed_at, job.deadline) == (7.0, 7.5)
    assert worker.task.jobs(8.0) == []


def test_a_final_says_where_its_audio_stands_and_what_wrote_it():
    log, worker = Log(), Worker()
    log.speak("s", np.concatenate([quiet(1), loud(1), quiet(1)]), end=True)
    worker.read(*log.records)
    final = worker.finish(worker.jobs[0])
    assert final.model == replace(MODEL, fold=False)
    assert final.source.topic == PARTITION.topic
    assert (final.source.first_offset, final.source.last_offset) == (6, 22)


def test_a_result_comes_once():
    log, worker = Log(), Worker()
    log.speak("s", loud(1), end=True)
    worker.read(*log.records)
    (job,) = worker.jobs
    worker.finish(job)
    with pytest.raises(KeyError):
        worker.task.finish(job.id, Decoded(echo(job.utterance.samples), 0, 0, 0))


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
    worker.tick(12.1)
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
    worker.tick(310.1)
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
    worker.tick(10_000.0, caught_up=False)
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
    assert worker.task.ledger.committed_resume == 51


# --- crashes: at least once, so text may repeat, and none may be missing

Runs = list[tuple[bool, int]]
MS = RATE // 1000
MIN_SPEECH_MS, MARGIN_MS = 250, 32
# Speech stays below the longest length: a successor that does not know of the cut may take what is
# left behind it for a click.
runs = st.lists(st.tuples(st.booleans(), st.integers(100, 2_500)), min_size=3, max_size=5)
several = st.dictionaries(st.sampled_from(["one", "two", "three"]), runs, min_size=2)


def audio_of(parts: Runs) -> Int16Array:
    return np.concatenate([(loud if is_loud else quiet)(ms / 1000) for is_loud, ms in parts])


def work(worker: Worker, records: Sequence[Record], chance: random.Random) -> None:
    """Read in polls of any size; results come in any order, commits at any time or never."""
    at = 0
    while at < len(records):
        size = chance.randint(1, 12)
        worker.take(*records[at : at + size])
        at += size
        if chance.random() < 0.3:
            worker.commit()  # while the detector is at work
        worker.listen()
        while worker.jobs and chance.random() < 0.6:
            worker.finish(chance.choice(worker.jobs))
        if chance.random() < 0.3:
            worker.commit()


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


@given(
    streams=several,
    crashes=st.lists(st.floats(0.1, 0.9), min_size=1, max_size=3),
    seed=st.integers(0, 1 << 16),
)
@settings(max_examples=60, deadline=None)
def test_a_crash_loses_nothing(streams: dict[str, Runs], crashes: list[float], seed: int):
    records = interleaved(
        seed, **{name: audio_of(parts) for name, parts in streams.items()}
    ).records
    chance = random.Random(seed)
    events: list[AnyEvent] = []
    resume = 0
    for crash in [*crashes, 1.0]:
        worker = Worker(resume)
        stop = resume + round(crash * (len(records) - resume))
        work(worker, records[resume:stop], chance)
        if crash == 1.0:
            worker.finish_all()
            worker.commit()
        events += worker.events
        for commit in worker.commits:
            assert resume <= commit.resume_offset <= commit.next_offset <= stop
            resume = commit.resume_offset
    assert resume == len(records)
    check_nothing_is_lost(events, streams)


@given(streams=several, seed=st.integers())
@settings(max_examples=40, deadline=None)
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
    assert worker.task.ledger.committed_resume == len(log.records)


# --- whatever publishers send

odd_chunks = st.builds(
    AudioChunk,
    stream_id=st.sampled_from(["one", "two"]),
    payload=st.tuples(st.booleans(), st.sampled_from([2, 300, 900, 3_000])).map(
        lambda told: (loud if told[0] else quiet)(told[1] / 1000).tobytes()
    ),
    rate=st.sampled_from([RATE, RATE, RATE, 8_000]),
    channels=st.sampled_from([1, 1, 1, 2]),
    seq=st.none() | st.integers(0, 6),
    start=st.none() | st.integers(0, 20).map(lambda s: s * RATE // 4),
    captured_ms=st.none() | st.integers(0, 10_000),
    end=st.booleans(),
    flush=st.booleans(),
)
pauses_s = st.sampled_from([0.0, 0.0, 1.0, 3.0, 400.0])


@given(sent=st.lists(st.tuples(odd_chunks, pauses_s), max_size=15), seed=st.integers())
@settings(max_examples=100, deadline=None)
def test_whatever_is_sent_sessions_are_whole_and_all_of_the_log_is_passed(
    sent: list[tuple[AudioChunk, float]], seed: int
):
    log, worker, chance, now = Log(), Worker(), random.Random(seed), 0.0
    for chunk, pause_s in sent:
        now += pause_s
        log.now_ms += round(pause_s * 1000)
        worker.take(log.append(chunk), now=now)
        if chance.random() < 0.7:
            worker.tick(now + pause_s, caught_up=chance.random() < 0.5)
    worker.listen()
    worker.tick(now + 1_000)
    worker.finish_all()
    worker.commit()
    assert worker.task.streams == 0
    assert worker.task.ledger.committed_resume == len(log.records)
    by_session = defaultdict(list)
    for event in worker.events:
        by_session[event.session_id].append(event)
    for events in by_session.values():
        assert [event.index for event in events] == list(range(len(events)))
        assert isinstance(events[0], StreamStarted)
        assert [isinstance(event, StreamEnded) for event in events].index(True) == len(events) - 1
        placed = [event for event in events if isinstance(event, TranscriptFinal | StreamGap)]
        for before, after in pairwise(placed):
            assert before.end_sample <= after.start_sample
