from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.live.capacity import FINE, MOST, Search, next_streams


def found(first: int, holds: int) -> Search:
    search = Search(first)
    while (streams := search.next()) is not None:
        assert streams not in search.tried
        search.told(streams, kept=streams <= holds)
    return search


@given(st.integers(1, 64), st.integers(0, MOST // 2))
def test_the_largest_number_that_holds_is_found(first: int, holds: int):
    best = found(first, holds).best
    assert best <= holds
    assert holds - best <= max(0, int(FINE * best))


def test_it_is_found_in_few_tries():
    assert len(found(8, 43).tried) <= 7
    assert len(found(8, 3).tried) <= 4


def test_none_holds():
    assert found(8, 0).best == 0


def test_it_does_not_grow_for_ever():
    assert found(8, 10**9).best <= MOST


def test_a_failure_below_a_success_was_chance():
    assert next_streams({8: False, 16: True, 32: False}, 8) == 24
