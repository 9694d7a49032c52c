"""The order in which the model takes jobs, and how a backlog is spread."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.scheduling.capacity import CONTEXT, Budget, positions
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.scheduling.planner import RETRY_DELAY_S, Planner
from consumer.core.scheduling.thread_choice import ThreadChoice
from consumer.core.streams.records import Lane, Partition, SessionKey, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from schemas.audio import StreamOptions

RATE = 1000
WIDE = Budget(positions=1_000_000, rows=16, overhead=400)
ONE = Budget(positions=1_000_000, rows=1)
PARTITION = Partition("speech.audio.v1", 0)


def job(
    stream: str = "a",
    number: int = 0,
    *,
    seconds: float = 4.0,
    deadline: float = 1.0,
    kind: JobKind = JobKind.FINAL,
    lane: Lane = Lane.LIVE,
    epoch: int = 1,
) -> Job:
    end = round(seconds * RATE)
    samples = np.empty(0, np.int16)
    speech = Speech(1.0, 1.0, 1.0)
    return Job(
        id=UtteranceId(SessionKey(PARTITION, stream, "0-0"), number),
        epoch=epoch,
        kind=kind,
        lane=lane,
        closed_at=0.0,
        deadline=deadline,
        utterance=Utterance(number, 0, end, end, RATE, samples, EndReason.SILENCE, speech),
        options=StreamOptions(),
    )


def interim(stream: str = "a", number: int = 0, *, deadline: float = 1.0) -> Job:
    return job(stream, number, deadline=deadline, kind=JobKind.INTERIM)


def planner(*jobs: Job, budget: Budget = WIDE) -> Planner:
    made = Planner(budget)
    made.add(jobs)
    return made


def taken(queue: Planner, now: float = 0.0) -> list[Job]:
    batch = queue.take(now)
    return [] if batch is None else [*batch.jobs]


def all_taken(queue: Planner, now: float = 0.0) -> list[list[Job]]:
    batches = []
    while jobs := taken(queue, now):
        batches.append(jobs)
    return batches


def streams(jobs: list[Job]) -> list[str]:
    return [each.id.session.stream_id for each in jobs]


def test_without_jobs_there_is_no_batch() -> None:
    assert Planner(WIDE).take(0.0) is None


def test_live_goes_before_bulk_and_finals_before_interims_whatever_their_deadlines() -> None:
    bulk = job("bulk", lane=Lane.BULK, deadline=0.1)
    early = interim("interim", deadline=0.2)
    late = job("final", deadline=9.0)
    order = all_taken(planner(bulk, early, late))
    assert [streams(batch) for batch in order] == [["final"], ["interim"], ["bulk"]]


def test_a_batch_has_jobs_of_one_class_only() -> None:
    batch = taken(planner(job("a"), interim("b"), job("c", lane=Lane.BULK), job("d")))
    assert streams(batch) == ["a", "d"]


def test_the_earliest_deadline_goes_first() -> None:
    order = all_taken(planner(job("b", deadline=2), job("a", deadline=1), budget=ONE))
    assert [streams(batch) for batch in order] == [["a"], ["b"]]


def test_equal_deadlines_keep_the_order_of_arrival() -> None:
    order = all_taken(planner(*(job(name) for name in "dacb"), budget=ONE))
    assert [streams(batch) for batch in order] == [["d"], ["a"], ["c"], ["b"]]


def test_a_backlog_of_one_stream_is_batched_in_order() -> None:
    batch = taken(planner(*(job("a", number) for number in range(5))))
    assert [each.id.utterance for each in batch] == [0, 1, 2, 3, 4]


def test_an_utterance_never_overtakes_another_of_its_stream() -> None:
    """Its text could not be published before."""
    long = job("a", 1, seconds=15.0, deadline=2)
    mixed = planner(job("b", deadline=1), long, job("a", 2, deadline=3), job("c", deadline=4))
    assert streams(taken(mixed)) == ["b", "c"]


def test_a_long_row_is_not_decoded_beside_short_ones() -> None:
    short = [job(f"s{number}", seconds=1.0, deadline=2) for number in range(15)]
    batches = all_taken(planner(job("long", seconds=15.0, deadline=1), *short))
    assert [len(batch) for batch in batches] == [1, 15]


def test_the_first_job_is_always_in_the_batch() -> None:
    short = job("short", seconds=0.5, deadline=1)
    long = [job(f"l{number}", seconds=10.0, deadline=2) for number in range(16)]
    assert taken(planner(short, *long))[0] is short


def test_a_job_larger_than_the_budget_is_decoded_alone() -> None:
    tight = Budget(positions=10, rows=16, overhead=400)
    batches = all_taken(planner(job("a"), job("b"), budget=tight))
    assert [len(batch) for batch in batches] == [1, 1]


def test_an_isolated_job_is_decoded_first_and_alone() -> None:
    suspect = replace(job("s", 1, deadline=9.0), isolated=True)
    waiting = planner(job("a", deadline=0.5), job("s", deadline=0.5), suspect)
    assert taken(waiting) == [suspect]
    assert len(taken(waiting)) == 2


def test_every_row_of_a_model_that_does_not_fold_costs_all_positions() -> None:
    """No more rows than the model decodes in one pass, however short."""
    padded = Budget(positions=8192, rows=16, folded=False)
    waiting = planner(*(job(f"s{number}", deadline=1.0) for number in range(7)), budget=padded)
    assert [len(taken(waiting)), len(taken(waiting))] == [5, 2]


def test_one_hot_stream_does_not_starve_the_others() -> None:
    """Its backlog is spread over time as if it were spoken; other utterances come between."""
    four = Budget(positions=4 * positions(4.0) + 100, rows=4, overhead=400)
    hot = planner(*(job("hot", number, deadline=0.5) for number in range(100)), budget=four)
    taken(hot)
    hot.add([job(f"s{number}", deadline=3.5) for number in range(8)])
    assert streams(taken(hot)) == ["s0", "s1", "s2", "s3"]
    assert streams(taken(hot)) == ["s4", "s5", "s6", "s7"]
    assert streams(taken(hot)) == ["hot"] * 4


def test_a_stream_without_a_backlog_has_its_own_deadlines() -> None:
    caught_up = planner(*(job("a", number, deadline=1) for number in range(3)), budget=ONE)
    all_taken(caught_up)
    caught_up.add([job("a", 3, deadline=2), job("b", deadline=2.1)])
    assert streams(taken(caught_up)) == ["a"]


def test_only_the_newest_interim_of_a_stream_waits() -> None:
    newest = interim("a", deadline=3)
    waiting = planner(interim("a", deadline=1), interim("b"), interim("a", deadline=2), newest)
    assert len(waiting) == 2
    assert newest in taken(waiting)
    assert len(waiting.dropped_interims()) == 2


def test_a_final_drops_the_interims_of_its_utterance_and_of_earlier_ones() -> None:
    waiting = planner(interim("a", 4), interim("b", 6), job("a", 4), job("b", 5))
    kinds = {
        (each.id.session.stream_id, each.kind) for batch in all_taken(waiting) for each in batch
    }
    assert kinds == {("a", JobKind.FINAL), ("b", JobKind.FINAL), ("b", JobKind.INTERIM)}
    assert len(waiting.dropped_interims()) == 1


def test_an_interim_past_its_deadline_is_dropped_and_a_final_is_not() -> None:
    late = planner(interim("a", deadline=1), job("b", deadline=1))
    assert streams(taken(late, now=2.0)) == ["b"]
    assert taken(late, now=2.0) == []
    assert len(late.dropped_interims()) == 1
    assert len(late.dropped_interims()) == 0, "each is reported once"


def test_jobs_of_an_older_epoch_are_discarded() -> None:
    kept, old = job("a", epoch=2), job("b", epoch=1)
    waiting = planner(kept, old, interim("c"))
    waiting.discard_stale({PARTITION: 2})
    assert taken(waiting) == [kept]
    assert waiting.waiting_s(Lane.LIVE) == 0
    assert len(waiting.dropped_interims()) == 0, "it was discarded, not dropped"


def busy(queue: Planner, lane: Lane = Lane.LIVE) -> Planner:
    """Return the queue after batches of that lane without a pause, up to now = 0."""
    for number in range(-99, 1):
        queue.decoded(Batch((job("before", lane=lane),)), 0.5, 0.5 * number)
    return queue


def test_interims_wait_while_the_engine_has_no_room_and_finals_do_not() -> None:
    waiting = busy(planner(interim("a", deadline=90), job("b", deadline=90)))
    assert streams(taken(waiting, now=0.0)) == ["b"]
    assert taken(waiting, now=0.0) == []
    assert len(waiting) == 1
    assert streams(taken(waiting, now=60.0)) == ["a"]


def test_bulk_finals_are_taken_while_a_live_interim_waits_for_room() -> None:
    waiting = busy(planner(interim("a", deadline=90), job("file", lane=Lane.BULK)))
    assert streams(taken(waiting, now=0.0)) == ["file"]


def test_only_live_batches_take_room() -> None:
    waiting = busy(planner(interim("a", deadline=90)), lane=Lane.BULK)
    assert streams(taken(waiting, now=0.0)) == ["a"]


def test_other_attempts_and_audits_need_room_but_those_of_files_do_not() -> None:
    idle, loaded = planner(), busy(planner())
    live, file = job("live"), job("file", lane=Lane.BULK)
    assert [idle.may_repeat(live, 1, 0.0), loaded.may_repeat(live, 1, 0.0)] == [True, False]
    assert [idle.may_audit(0.0), loaded.may_audit(0.0)] == [True, False]
    assert loaded.may_repeat(file, 1, 0.0)
    assert loaded.may_repeat(live, 1, 60.0)


def test_a_padded_batch_is_measured_as_one() -> None:
    folded, padded = planner(), planner()
    folded.decoded(Batch((job("a"),)), 1.8, 0.0)
    padded.decoded(Batch((job("a"),), padded=True), 1.8, 0.0)
    assert not folded.may_audit(0.0), "a short clip took so long"
    assert padded.may_audit(0.0)


def test_the_times_of_batches_choose_their_threads() -> None:
    queue = Planner(WIDE, threads=ThreadChoice(2))
    used = []
    for number, seconds in enumerate((0.2, 0.4, 4.0, 1.2)):
        queue.add([job(number=number)])
        batch = queue.take(0.0)
        assert batch is not None
        used.append(batch.threads)
        queue.decoded(batch, seconds, 0.0)
    assert used == [2, 1, 2, 1]


BUDGETS = st.builds(Budget, st.integers(1, 9000), st.integers(1, 20), st.integers(0, 1000))
NOT_ACCEPTED = Hypothesis("la la la la", "en", None, (), -0.1, 0.0, 9.9)


def add_retries(queue: Planner, *streams_: str, now: float = 0.0, texts: int = 1) -> None:
    for name in streams_:
        add_retry(queue, job(name, deadline=-9.0), texts * (NOT_ACCEPTED,), now)


def add_retry(queue: Planner, job_: Job, earlier: tuple[Hypothesis, ...], now: float) -> None:
    """Add the job again as a partition does after a text that is not accepted."""
    queue.add([replace(job_, earlier=earlier, deadline=now + RETRY_DELAY_S)])


def test_a_retry_waits_for_finals_due_within_its_delay_and_for_no_others() -> None:
    due, later = (
        job("due", deadline=RETRY_DELAY_S - 0.1),
        job("later", deadline=RETRY_DELAY_S + 0.1),
    )
    waiting = planner(due, later, budget=ONE)
    add_retries(waiting, "bad")
    assert [streams(batch) for batch in all_taken(waiting)] == [["due"], ["bad"], ["later"]]


def test_only_retries_after_equally_many_texts_share_a_batch() -> None:
    waiting = planner(*(job(name, deadline=2.0) for name in "ab"))
    add_retries(waiting, "c", "d")
    add_retries(waiting, "e", texts=2)
    order = all_taken(waiting)
    assert [streams(batch) for batch in order] == [["c", "d"], ["e"], ["a", "b"]]
    assert [[len(each.earlier) for each in batch] for batch in order] == [[1, 1], [2], [0, 0]]


def test_retries_cost_a_full_window() -> None:
    waiting = planner(budget=Budget(positions=2 * CONTEXT + 100, rows=16))
    add_retries(waiting, *"abc")
    assert [len(batch) for batch in all_taken(waiting)] == [2, 1]


def test_a_retry_does_not_wait_for_the_backlog_of_its_stream() -> None:
    waiting = planner(*(job("hot", number, deadline=0.5) for number in range(9)), budget=ONE)
    (first,) = taken(waiting)
    add_retry(waiting, first, (NOT_ACCEPTED,), now=0.1)
    numbers = [each.id.utterance for batch in all_taken(waiting) for each in batch]
    assert numbers == [*range(9)]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 9), st.floats(0.3, 15)), max_size=60),
    BUDGETS,
    st.floats(0.05, 2.0),
)
def test_later_finals_never_starve_a_retry(
    drawn: list[tuple[str, float, float]], budget: Budget, batch_s: float
) -> None:
    finals = [
        job(stream, number, seconds=seconds, deadline=at + 0.5)
        for number, (stream, at, seconds) in enumerate(sorted(drawn, key=lambda each: each[1]))
    ]
    waiting, now, before = planner(budget=budget), 0.0, []
    add_retries(waiting, "bad")
    while True:
        waiting.add([final for final in finals if now - batch_s < final.deadline - 0.5 <= now])
        batch = taken(waiting, now)
        if batch[0].earlier:
            break
        before.append(batch[0].deadline)
        now += batch_s
    assert all(deadline <= RETRY_DELAY_S for deadline in before)


def test_waiting_seconds_are_counted_by_lane() -> None:
    waiting = planner(job("a", seconds=1.5), job("b", seconds=2.0, lane=Lane.BULK), interim("c"))
    assert waiting.waiting_s(Lane.LIVE) == 5.5
    assert waiting.waiting_s(Lane.BULK) == 2.0
    all_taken(waiting)
    assert waiting.waiting_s(Lane.LIVE) == waiting.waiting_s(Lane.BULK) == 0


JOBS = st.lists(
    st.builds(
        lambda stream, seconds, deadline, kind, lane: (stream, seconds, deadline, kind, lane),
        st.sampled_from("abcde"),
        st.floats(0.3, 28.0),
        st.floats(0.0, 20.0),
        st.sampled_from(JobKind),
        st.sampled_from(Lane),
    ),
    max_size=60,
)


@given(JOBS, BUDGETS, st.floats(0.0, 20.0))
def test_every_final_is_taken_once_within_the_budget_and_in_the_order_of_its_stream(
    drawn: list[tuple[str, float, float, JobKind, Lane]], budget: Budget, now: float
) -> None:
    jobs = [
        job(f"{stream}{lane}", number, seconds=seconds, deadline=deadline, kind=kind, lane=lane)
        for number, (stream, seconds, deadline, kind, lane) in enumerate(drawn)
    ]
    waiting = planner(*jobs, budget=budget)
    batches = all_taken(waiting, now)
    taken_jobs = [each for batch in batches for each in batch]
    assert len(taken_jobs) + len(waiting.dropped_interims()) == len(jobs)
    assert len({each.id for each in taken_jobs}) == len(taken_jobs)
    assert {each.id for each in jobs if each.kind is JobKind.FINAL} <= {
        each.id for each in taken_jobs
    }
    assert all(is_within(batch, budget) for batch in batches)
    assert all(one < next_ for one, next_ in consecutive_utterances(taken_jobs))
    assert waiting.waiting_s(Lane.LIVE) == waiting.waiting_s(Lane.BULK) == len(waiting) == 0


def is_within(batch: list[Job], budget: Budget) -> bool:
    longest = max(positions(each.utterance.seconds) for each in batch)
    rows = len(batch)
    return rows == 1 or (rows <= budget.rows and rows * longest <= budget.positions)


def consecutive_utterances(taken_jobs: list[Job]) -> list[tuple[int, int]]:
    by_stream: dict[tuple[SessionKey, JobKind], list[int]] = {}
    for each in taken_jobs:
        by_stream.setdefault((each.id.session, each.kind), []).append(each.id.utterance)
    return [pair for numbers in by_stream.values() for pair in pairwise(numbers)]
