from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace

from budget import examples
from builders import PARTITION, RATE, Log, loud
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import Worker, said, sorted_by_stream, survive

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

CAPS = StreamLimits(streams=1_000, new_per_s=0.05)  # five at once
BURST = 5


def chunk(name: str, seconds: float = 0.1, *, end: bool = False, seq: int = 0) -> AudioChunk:
    return AudioChunk(
        name, loud(seconds).tobytes(), rate=RATE, channels=1, seq=seq, start=seq * RATE, end=end
    )


def crowd(count: int, log: Log | None = None) -> list[Record]:
    log = log or Log()
    return [log.append(chunk(f"s{number}", end=True)) for number in range(count)]


# --- the rules themselves


def test_a_rush_is_let_in_up_to_what_may_come_in_the_time_that_is_averaged():
    arrivals, let_in = Arrivals(time_ms=1_000), 0
    while refusal(CAPS, 0, arrivals, 1_000) is None:
        arrivals, let_in = arrived(CAPS, arrivals, 1_000), let_in + 1
    assert let_in == BURST == CAPS.new_per_s * AVERAGED_S


def test_as_time_goes_on_others_are_let_in():
    full = Arrivals(level=BURST, time_ms=0)
    assert refusal(CAPS, 0, full, 19_999) is not None
    assert refusal(CAPS, 0, full, 20_000) is None
    assert arrived(CAPS, full, 10**9) == Arrivals(level=1.0, time_ms=10**9)


def test_who_is_turned_away_is_told_by_which_cap_and_which_setting_holds_it():
    many = refusal(CAPS, 1_000, Arrivals(), 0)
    fast = refusal(CAPS, 999, Arrivals(level=BURST), 0)
    assert many is not None
    assert fast is not None
    assert (many.reason, fast.reason) == (Reason.TOO_MANY_STREAMS, Reason.TOO_MANY_NEW_STREAMS)
    assert "STREAMSCRIBE_MAX_STREAMS" in str(many)
    assert "STREAMSCRIBE_NEW_STREAMS_PER_S" in str(fast)


def test_a_second_has_one_letter():
    first = sampled(Arrivals(level=3.0), 5_000)
    assert first == Arrivals(level=3.0, letter_ms=5_000)
    assert sampled(first, 5_999) is None
    assert sampled(first, 6_000) == replace(first, letter_ms=6_000)


@given(st.lists(st.integers(0, 60_000), max_size=60), st.sampled_from([0.05, 1.0]))
def test_no_stretch_of_time_has_more_new_streams_than_it_may(pauses: list[int], per_s: float):
    caps, arrivals, now, came = StreamLimits(10**6, per_s), Arrivals(), 0, list[int]()
    for pause in pauses:
        now += pause
        if refusal(caps, 0, arrivals, now) is None:
            arrivals = arrived(caps, arrivals, now)
            came.append(now)
    for first, begin in enumerate(came):
        for last, end in enumerate(came[first:], first):
            assert last - first + 1 <= per_s * (AVERAGED_S + (end - begin) / 1000) + 1e-6


# --- at a partition


def test_streams_that_are_known_go_on_while_new_ones_are_turned_away():
    log, worker = Log(), Worker(new_per_s=0.01)
    outcomes = worker.read(*(log.append(chunk(name)) for name in ("one", "two", "two")))
    assert outcomes == [Outcome.ACCEPTED, Outcome.DEAD_LETTER, Outcome.REFUSED]
    assert worker.read(log.append(chunk("one", seq=1))) == [Outcome.ACCEPTED]
    assert worker.task.streams == 1


def test_a_flood_is_counted_and_has_a_letter_a_second():
    worker = Worker(streams=3)
    worker.read(*crowd(43))
    worker.finish_all()
    commit = worker.commits[-1]
    letters = worker.store.dead_letters
    assert {letter.reason for letter in letters} == {Reason.TOO_MANY_STREAMS}
    assert [letter.record.offset for letter in letters] == [3, 13, 23, 33]
    assert commit.state.tally == Tally(accepted=3, dead_letter=4, refused=36)
    assert {event.stream_id for event in worker.events} == {"s0", "s1", "s2"}


def test_bad_records_are_told_as_such_however_many_streams_there_are():
    log, worker = Log(), Worker(streams=1)
    worker.read(log.append(chunk("one")))
    bad = [log.append_raw(key, b"\0\0") for key in (None, b"no name", b"\xff")]
    assert worker.read(*bad) == [Outcome.DEAD_LETTER] * 3
    worker.commit()
    assert {letter.reason for letter in worker.store.dead_letters} == {Reason.BAD_STREAM_ID}


def test_a_record_that_begins_no_stream_takes_no_place():
    log, worker = Log(), Worker(new_per_s=0.01)
    wrong = log.append_raw(b"wrong", b"\0\0", [("codec", b"g722")])
    assert worker.read(wrong, *crowd(1, log)) == [Outcome.DEAD_LETTER, Outcome.ACCEPTED]


def test_streams_that_have_ended_make_room_where_it_is_short():
    """Two minutes, not the hour of quiet times."""
    log, worker = Log(), Worker(streams=4)
    worker.read(*crowd(4, log))
    worker.finish_all()
    log.now_ms += 121_000
    late = log.append(chunk("late"))
    assert worker.read(late) == [Outcome.DEAD_LETTER]
    worker.tick(1.0, caught_up=False)
    log.now_ms += 1_000
    assert worker.read(log.append(chunk("late"))) == [Outcome.ACCEPTED]


# --- a replay


def test_a_stream_let_in_is_not_turned_away_by_a_replay_whose_commits_had_no_progress():
    """Its state leaves with N, or nothing would tell it from those that were turned away."""
    log, store = Log(), MemoryStore(log_end=100)
    worker = Worker(store=store, new_per_s=0.02)
    worker.take(log.append_raw(None, b""), log.append(chunk("one", 1.0)))
    worker.commit(progress=False)  # for the dead letter
    worker = Worker(recover(store.found(PARTITION), from_earliest=True), store, new_per_s=0.02)
    worker.read(*log.records, log.append(chunk("one", 1.0, seq=1, end=True)))
    worker.finish_all()
    (final,) = [event for event in store.events if hasattr(event, "text")]
    assert (final.start_sample, final.end_sample) == (0, 2 * RATE)


def test_a_worker_that_ends_again_and_again_lets_no_more_in():
    log, store = Log(), MemoryStore(log_end=100)
    records = crowd(60, log)
    for _ in range(6):
        worker = Worker(recover(store.found(PARTITION), from_earliest=True), store, new_per_s=0.05)
        at = worker.task.ledger.position
        worker.read(*records[at : at + 10])
        worker.finish_all()
    started = [event for event in store.events if isinstance(event, StreamStarted)]
    assert len(started) == BURST


def test_what_an_older_version_wrote_lets_in_whoever_it_knew_nothing_of():
    log = Log()
    records = crowd(3, log)
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
crash_seeds = st.lists(st.integers(0, 1 << 16), max_size=5)
caps = st.fixed_dictionaries(
    {"streams": st.integers(1, 8), "new_per_s": st.sampled_from([0.01, 0.03, 1.0])}
)


def log_of(flood: Sequence[tuple[str, float, bool, int]]) -> list[Record]:
    log, counts = Log(), Counter[str]()
    for name, seconds, end, pause_ms in flood:
        log.now_ms += pause_ms
        log.append(chunk(name, seconds, end=end, seq=counts[name]))
        counts[name] += 1
    return log.records


@given(flood=floods, crashes=crash_seeds, changes=caps)
@examples(150)
def test_a_crash_turns_nobody_away_who_was_let_in_and_lets_nobody_in_who_was_turned_away(
    flood: list[tuple[str, float, bool, int]], crashes: list[int], changes: dict[str, float]
):
    records = log_of(flood)
    told = survive(records, crashes, **changes)
    expected = survive(records, [], **changes)
    assert [said(e) for e in sorted_by_stream(told.events)] == [
        said(e) for e in sorted_by_stream(expected.events)
    ]
    assert offsets(told) == offsets(expected)
    check_accounts(told, len(records))
    found, wanted = told.found(PARTITION).partition, expected.found(PARTITION).partition
    assert found is not None
    assert wanted is not None
    assert (found.tally, found.arrivals) == (wanted.tally, wanted.arrivals)


@given(flood=floods, crashes=crash_seeds, changes=caps)
@examples(100)
def test_accounts_are_exact_also_where_time_makes_room(
    flood: list[tuple[str, float, bool, int]], crashes: list[int], changes: dict[str, float]
):
    records = log_of(flood)
    check_accounts(survive(records, crashes, ticks=True, **changes), len(records))


def check_accounts(store: MemoryStore, records: int) -> None:
    state = store.found(PARTITION).partition
    assert state is not None
    assert (state.next_offset, state.resume_offset) == (records, records)
    assert sum(asdict(state.tally).values()) == records
    assert len(set(offsets(store))) == len(offsets(store)) == state.tally.dead_letter


def offsets(store: MemoryStore) -> list[int]:
    return sorted(letter.record.offset for letter in store.dead_letters)
