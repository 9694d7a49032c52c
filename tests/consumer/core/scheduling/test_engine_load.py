"""The measured load of the engine, and when it has room for decodes beyond finals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.engine_load import MAX_DELAY_S, MAX_SHARE, EngineLoad

BATCHES = st.lists(
    st.tuples(
        st.integers(1, 30_000),  # positions
        st.integers(0, 2),  # attempt
        st.floats(0.0, 60.0),  # seconds of the batch
        st.floats(0.0, 60.0),  # seconds without a batch before it
    ),
    max_size=30,
)


def loaded(share: float, seconds: float = 200.0, batch_s: float = 0.1) -> EngineLoad:
    """Return the load after batches that took `share` of the time."""
    load = EngineLoad()
    for number in range(round(seconds * share / batch_s)):
        load.observe(1000, 0, batch_s, (number + 1) * batch_s / share)
    return load


@given(BATCHES)
def test_the_share_is_one_of_time_and_expected_times_are_among_those_measured(
    batches: list[tuple[int, int, float, float]],
) -> None:
    load, now = EngineLoad(), 0.0
    for cost, attempt, seconds, idle_s in batches:
        now += idle_s + seconds
        load.observe(cost, attempt, seconds, now)
        assert 0.0 <= load.share <= 1.0
    for attempt, position_s in load.position_s.items():
        measured = [seconds / cost for cost, of, seconds, _ in batches if of == attempt]
        assert min(measured) <= position_s * (1 + 1e-9)
        assert position_s <= max(measured) * (1 + 1e-9)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_that_of_the_last_batches(share: float) -> None:
    assert loaded(share).share == pytest.approx(share, abs=0.02)


@given(st.floats(0.05, 1.0), st.integers(0, 100_000), st.integers(0, 2))
def test_there_is_room_below_the_largest_share_for_what_delays_others_little(
    share: float, cost: int, attempt: int
) -> None:
    load = loaded(share)
    comes_s = load.share * cost * load.position_s[0]
    expected = load.share < MAX_SHARE and comes_s < MAX_DELAY_S
    assert load.has_room(cost, attempt, load.updated) == expected


@given(BATCHES, st.integers(1, 30_000), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_waiting_makes_room_and_never_takes_it(
    batches: list[tuple[int, int, float, float]], cost: int, soon_s: float, later_s: float
) -> None:
    load, now = EngineLoad(), 0.0
    for of, attempt, seconds, idle_s in batches:
        now += idle_s + seconds
        load.observe(of, attempt, seconds, now)
    assert load.has_room(cost, 0, now + soon_s) <= load.has_room(cost, 0, now + soon_s + later_s)


def test_an_engine_that_was_never_measured_has_room() -> None:
    assert EngineLoad().has_room(1_000_000, 2, 0.0)


def test_a_slower_machine_has_room_for_less() -> None:
    fast, slow = EngineLoad(), EngineLoad()
    for number in range(40):
        fast.observe(1000, 0, 0.1, 10.0 * number)
        slow.observe(1000, 0, 2.0, 10.0 * number)
    assert fast.has_room(3000, 0, 391.0)
    assert not slow.has_room(3000, 0, 391.0)


def test_another_attempt_has_a_time_of_its_own() -> None:
    load = EngineLoad()
    load.observe(1000, 0, 0.1, 0.1)
    load.observe(1000, 2, 5.0, 100.0)
    assert load.has_room(1000, 0, 101.0)
    assert not load.has_room(1000, 2, 101.0)
