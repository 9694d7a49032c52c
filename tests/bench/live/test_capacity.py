from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.live.capacity import (
    MAX_ERROR,
    MAX_STREAMS,
    CapacitySearch,
    capacity_checks,
    capacity_figures,
)


def searched(first: int, capacity: int) -> CapacitySearch:
    search = CapacitySearch(first)
    while (streams := search.next()) is not None:
        assert streams not in search.tried
        search.tried[streams] = streams <= capacity
    return search


@given(st.integers(1, 64), st.integers(0, MAX_STREAMS // 2))
def test_the_largest_number_within_the_limit_is_found(first: int, capacity: int):
    best = searched(first, capacity).best
    assert best <= capacity
    assert capacity - best <= max(0, int(MAX_ERROR * best))


def test_it_is_found_in_few_tries():
    assert len(searched(8, 43).tried) <= 7
    assert len(searched(8, 3).tried) <= 4


def test_no_number_may_be_within_the_limit():
    assert searched(8, 0).best == 0


def test_numbers_are_bounded():
    assert searched(8, 10**9).best <= MAX_STREAMS


def test_a_failure_below_a_success_is_ignored():
    assert CapacitySearch(8, {8: False, 16: True, 32: False}).next() == 24


def test_systems_are_compared():
    searches = {
        "streamscribe": CapacitySearch(8, {8: True, 24: True, 25: False}),
        "baseline": CapacitySearch(8, {8: True, 9: False}),
    }
    figures = capacity_figures(searches)
    assert figures["streamscribe.most_streams"] == 24
    assert figures["streamscribe.tried"] == "8 24 25!"
    (check,) = capacity_checks(searches)
    assert (check.value, check.ok) == (3.0, True)
