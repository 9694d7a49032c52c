"""How many threads a batch runs on."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.thread_choice import (
    TRY_FINAL_S,
    TRY_INTERIM_S,
    ThreadChoice,
)


def run(choice: ThreadChoice, begin: float, seconds: dict[int, float], batches: int) -> list[int]:
    """Decode finals that take `seconds` by the number of threads, one a second; return numbers."""
    used = []
    for number in range(batches):
        now = begin + number
        used.append(choice.choose(now, has_final=True))
        choice.observe(used[-1], 1000, seconds[used[-1]], now)
    return used


def test_each_number_is_tried_and_the_faster_one_is_kept() -> None:
    assert run(ThreadChoice(2), 0.0, {2: 0.2, 1: 0.4}, 5) == [2, 1, 2, 2, 2]
    assert run(ThreadChoice(8), 0.0, {8: 0.9, 4: 0.4}, 5) == [8, 4, 4, 4, 4]


def test_another_busy_process_changes_the_choice_after_one_batch() -> None:
    choice = ThreadChoice(2)
    run(choice, 0.0, {2: 0.2, 1: 0.4}, 5)
    assert run(choice, 5.0, {2: 4.0, 1: 1.2}, 5) == [2, 1, 1, 1, 1]


def test_one_slow_batch_changes_the_choice_for_a_few_seconds_only() -> None:
    choice, steady = ThreadChoice(2), {2: 0.2, 1: 0.35}
    run(choice, 0.0, steady, 4)
    choice.observe(2, 1000, 0.9, 4.0)
    used = run(choice, 5.0, steady, 20)
    assert [second for second, threads in enumerate(used) if threads == 1] == [0, 1, 2, 3, 9, 19]


def test_the_slower_number_is_tried_less_and_less_often() -> None:
    used = run(ThreadChoice(2), 0.0, {2: 4.0, 1: 1.0}, 700)
    tries = [second for second, threads in enumerate(used) if threads == 2]
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses == [5, 10, 20, 40, 80, *[TRY_FINAL_S] * 4]


def test_it_is_tried_again_on_interims_more_often_than_on_finals() -> None:
    choice = ThreadChoice(2)
    run(choice, 0.0, {2: 4.0, 1: 1.0}, 400)
    tried = choice.compared
    assert tried is not None
    assert choice.choose(tried + TRY_INTERIM_S - 0.1, has_final=False) == 1
    assert choice.choose(tried + TRY_INTERIM_S, has_final=False) == 2
    assert choice.choose(tried + TRY_FINAL_S - 0.1, has_final=True) == 1
    assert choice.choose(tried + TRY_FINAL_S, has_final=True) == 2


def test_one_try_is_enough_when_the_other_process_has_ended() -> None:
    choice = ThreadChoice(2)
    run(choice, 0.0, {2: 4.0, 1: 1.0}, 10)
    choice.observe(2, 1000, 0.2, 20.0)
    assert choice.choose(20.0, has_final=True) == 2


def test_half_of_the_threads_must_be_clearly_faster() -> None:
    assert run(ThreadChoice(2), 0.0, {2: 1.0, 1: 0.85}, 5)[2:] == [2, 2, 2]
    assert run(ThreadChoice(2), 0.0, {2: 1.0, 1: 0.75}, 5)[2:] == [1, 1, 1]


@given(
    st.integers(1, 64),
    st.lists(st.tuples(st.floats(0.01, 9.0), st.floats(0.0, 200.0), st.booleans())),
)
def test_the_number_is_all_threads_or_half(
    most: int, batches: list[tuple[float, float, bool]]
) -> None:
    choice, now = ThreadChoice(most), 0.0
    for seconds, idle_s, has_final in batches:
        now += idle_s
        threads = choice.choose(now, has_final=has_final)
        assert threads in {most, max(1, most // 2)}
        choice.observe(threads, 500, seconds, now)


@given(st.floats(0.01, 9.0), st.floats(0.01, 9.0))
def test_steady_times_lead_to_the_faster_number(all_s: float, half_s: float) -> None:
    used = run(ThreadChoice(4), 0.0, {4: all_s, 2: half_s}, 4)
    assert used[-1] == (2 if half_s < 0.8 * all_s else 4)
