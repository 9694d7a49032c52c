from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

from budget import examples
from builders import PARTITION, RATE, Log, loud
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import (
    Worker,
    crash_seeds,
    run_with_crashes,
    sorted_by_stream,
    without_timing,
)

from consumer.core.partition.commit import Outcome
from consumer.core.partition.state import Arrivals, PartitionState, Restored, Tally, recover
from consumer.core.partition.stream_admission import (
    AVERAGED_S,
    StreamLimits,
    arrived,
    refusal,
    sampled,
)
from consumer.core.streams.records import Record
from consumer.testing import MemoryStore
from schemas.audio import AudioChunk
from schemas.errors import Reason
from schemas.transcript import StreamStarted

LIMITS = StreamLimits(streams=1_000, new_per_s=0.05)  # five at once
BURST = 5


def chunk(name: str, seconds: float = 0.1, *, end: bool = False, seq: int = 0) -> AudioChunk:
    return AudioChunk(
        name, loud(seconds).tobytes(), rate=RATE, channels=1, seq=seq, start=seq * RATE, end=end
    )


def short_streams(count: int, log: Log | None = None) -> list[Record]:
    log = log or Log()
    return [log.append(chunk(f"s{number}", end=True)) for number in range(count)]


# --- limits


def test_a_burst_is_admitted_up_to_the_rate_times_the_averaged_time():
    arrivals, admitted = Arrivals(time_ms=1_000), 0
    while refusal(LIMITS, 0, arrivals, 1_000) is None:
        arrivals, admitted = arrived(LIMITS, arrivals, 1_000), admitted + 1
    assert admitted == BURST == LIMITS.new_per_s * AVERAGED_S


def test_new_streams_are_admitted_again_as_time_passes():
    full = Arrivals(level=BURST, time_ms=0)
    assert refusal(LIMITS, 0, full, 19_999) is not None
    assert refusal(LIMITS, 0, full, 20_000) is None
    assert arrived(LIMITS, full, 10**9) == Arrivals(level=1.0, time_ms=10**9)


def test_a_rejection_names_the_limit_and_its_setting():
    by_count = refusal(LIMITS, 1_000, Arrivals(), 0)
    by_rate = refusal(LIMITS, 999, Arrivals(level=BURST), 0)
    assert by_count is not None
    assert by_rate is not None
    assert (by_count.reason, by_rate.reason) == (
        Reason.TOO_MANY_STREAMS,
        Reason.TOO_MANY_NEW_STREAMS,
    )
    assert "STREAMSCRIBE_MAX_STREAMS" in str(by_count)
    assert "STREAMSCRIBE_NEW_STREAMS_PER_S" in str(by_rate)


def test_at_most_one_dead_letter_a_second_is_selected():
    first = sampled(Arrivals(level=3.0), 5_000)
    assert first == Arrivals(level=3.0, letter_ms=5_000)
    assert sampled(first, 5_999) is None
    assert sampled(first, 6_000) == replace(first, letter_ms=6_000)


@given(st.lists(st.integers(0, 60_000), max_size=60), st.sampled_from([0.05, 1.0]))
def test_in_no_interval_more_streams_are_admitted_than_the_rate_allows(
    pauses: list[int], per_s: float
):
    limits, arrivals, now, admitted_at = StreamLimits(10**6, per_s), Arrivals(), 0, list[int]()
    for pause in pauses:
        now += pause
        if refusal(limits, 0, arrivals, now) is None:
            arrivals = arrived(limits, arrivals, now)
            admitted_at.append(now)
    for first, begin in enumerate(admitted_at):
        for last, end in enumerate(admitted_at[first:], first):
            assert last - first + 1 <= per_s * (AVERAGED_S + (end - begin) / 1000) + 1e-6


# --- in a partition


def test_known_streams_continue_while_new_ones_are_rejected():
    log, worker = Log(), Worker(new_per_s=0.01)
    outcomes = worker.read(*(log.append(chunk(name)) for name in ("one", "two", "two")))
    assert outcomes == [Outcome.ACCEPTED, Outcome.DEAD_LETTER, Outcome.REFUSED]
    assert worker.read(log.append(chunk("one", seq=1))) == [Outcome.ACCEPTED]
    assert worker.task.streams == 1


def test_a_flood_is_counted_and_has_one_dead_letter_a_second():
    worker = Worker(streams=3)
    worker.read(*short_streams(43))
    worker.finish_all()
    commit = worker.commits[-1]
    letters = worker.store.dead_letters
    assert {letter.reason for letter in letters} == {Reason.TOO_MANY_STREAMS}
    assert [letter.record.offset for letter in letters] == [3, 13, 23, 33]
    assert commit.state.tally == Tally(accepted=3, dead_letter=4, refused=36)
    assert {event.stream_id for event in worker.events} == {"s0", "s1", "s2"}


def test_bad_records_have_their_own_reason_also_at_the_stream_limit():
    log, worker = Log(), Worker(streams=1)
    worker.read(log.append(chunk("one")))
    bad = [log.append_raw(key, b"\0\0") for key in (None, b"no name", b"\xff")]
    assert worker.read(*bad) == [Outcome.DEAD_LETTER] * 3
    worker.commit()
    assert {letter.reason for letter in worker.store.dead_letters} == {Reason.BAD_STREAM_ID}


def test_an_invalid_record_does_not_count_as_a_new_stream():
    log, worker = Log(), Worker(new_per_s=0.01)
    wrong = log.append_raw(b"wrong", b"\0\0", [("codec", b"g722")])
    assert worker.read(wrong, *short_streams(1, log)) == [Outcome.DEAD_LETTER, Outcome.ACCEPTED]


def test_ended_streams_are_forgotten_sooner_at_the_stream_limit():
    """At a limit, an ended stream is forgotten after two minutes instead of an hour."""
    log, worker = Log(), Worker(streams=4)
    worker.read(*short_streams(4, log))
    worker.finish_all()
    log.now_ms += 121_000
    late = log.append(chunk("late"))
    assert worker.read(late) == [Outcome.DEAD_LETTER]
    worker.tick(1.0, caught_up=False)
    log.now_ms += 1_000
    assert worker.read(log.append(chunk("late"))) == [Outcome.ACCEPTED]


# --- a replay


def test_a_stream_admitted_before_a_commit_without_progress_is_admitted_in_the_replay():
    """Its state is committed together with N, else it would be rejected as a new stream."""
    log, store = Log(), MemoryStore(log_end=100)
    worker = Worker(store=store, new_per_s=0.02)
    worker.take(log.append_raw(None, b""), log.append(chunk("one", 1.0)))
    worker.commit(progress=False)  # for the dead letter
    worker = Worker(recover(store.found(PARTITION), from_earliest=True), store, new_per_s=0.02)
    worker.read(*log.records, log.append(chunk("one", 1.0, seq=1, end=True)))
    worker.finish_all()
    (final,) = [event for event in store.events if hasattr(event, "text")]
    assert (final.start_sample, final.end_sample) == (0, 2 * RATE)


def test_restarts_do_not_reset_the_rate_of_new_streams():
    log, store = Log(), MemoryStore(log_end=100)
    records = short_streams(60, log)
    for _ in range(6):
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store, new_per_s=0.05)
        at = worker.task.ledger.position
        worker.read(*records[at : at + 10])
        worker.finish_all()
    started = [event for event in store.events if isinstance(event, StreamStarted)]
    assert len(started) == BURST


def test_state_without_arrivals_admits_all_streams_of_the_replay():
    log = Log()
    records = short_streams(3, log)
    older = Restored(PartitionState(next_offset=3, resume_offset=0, tally=Tally(accepted=3)))
    worker = Worker(older, streams=2)
    worker.read(*records[:1])
    commit = worker.commit(progress=False)
    assert commit is None or commit.state.arrivals is None
    worker.read(*records[1:], log.append(chunk("new")))
    worker.finish_all()
    assert len([e for e in worker.events if isinstance(e, StreamStarted)]) == 3
    assert worker.commits[-1].state.tally == Tally(accepted=3, dead_letter=1)


names = st.integers(0, 12).map("s{}".format)
floods = st.lists(
    st.tuples(names, st.sampled_from([0.1, 1.2]), st.booleans(), st.sampled_from([0, 900, 30_000])),
    min_size=1,
    max_size=60,
)
limits = st.fixed_dictionaries(
    {"streams": st.integers(1, 8), "new_per_s": st.sampled_from([0.01, 0.03, 1.0])}
)


def log_of(flood: Sequence[tuple[str, float, bool, int]]) -> list[Record]:
    log, counts = Log(), Counter[str]()
    for name, seconds, end, pause_ms in flood:
        log.now_ms += pause_ms
        log.append(chunk(name, seconds, end=end, seq=counts[name]))
        counts[name] += 1
    return log.records


@given(flood=floods, crashes=crash_seeds, changes=limits)
@examples(150)
def test_crashes_do_not_change_which_streams_are_admitted(
    flood: list[tuple[str, float, bool, int]], crashes: list[int], changes: dict[str, float]
):
    records = log_of(flood)
    interrupted = run_with_crashes(records, crashes, **changes)
    uninterrupted = run_with_crashes(records, [], **changes)
    assert [without_timing(e) for e in sorted_by_stream(interrupted.events)] == [
        without_timing(e) for e in sorted_by_stream(uninterrupted.events)
    ]
    assert offsets(interrupted) == offsets(uninterrupted)
    check_tallies(interrupted, len(records))
    found, wanted = interrupted.found(PARTITION).partition, uninterrupted.found(PARTITION).partition
    assert found is not None
    assert wanted is not None
    assert (found.tally, found.arrivals) == (wanted.tally, wanted.arrivals)


@given(flood=floods, crashes=crash_seeds, changes=limits)
@examples(100)
def test_tallies_are_exact_also_when_streams_expire(
    flood: list[tuple[str, float, bool, int]], crashes: list[int], changes: dict[str, float]
):
    records = log_of(flood)
    check_tallies(run_with_crashes(records, crashes, ticks=True, **changes), len(records))


def check_tallies(store: MemoryStore, records: int) -> None:
    state = store.found(PARTITION).partition
    assert state is not None
    assert (state.next_offset, state.resume_offset) == (records, records)
    assert sum(asdict(state.tally).values()) == records
    assert len(set(offsets(store))) == len(offsets(store)) == state.tally.dead_letter


def offsets(store: MemoryStore) -> list[int]:
    return sorted(letter.record.offset for letter in store.dead_letters)
