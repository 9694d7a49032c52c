from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.robustness.chaos.spans import Span, merged, overlaps, without

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def points(spans: list[Span]) -> set[int]:
    return {point for span in spans for point in range(*span)}


@given(SPANS)
def test_merged_covers_the_same_and_leaves_no_neighbours(spans: list[Span]) -> None:
    joined = merged(spans)
    assert points(joined) == points(spans)
    assert all(a[1] < b[0] for a, b in pairwise(joined))


@given(SPANS, SPANS)
def test_without_is_the_difference(spans: list[Span], holes: list[Span]) -> None:
    assert points(without(spans, holes)) == points(spans) - points(holes)


@given(SPANS)
def test_overlaps_are_what_is_in_two(spans: list[Span]) -> None:
    times = [sum(point in range(*span) for span in spans) for point in range(31)]
    assert points(overlaps(spans)) == {point for point, count in enumerate(times) if count > 1}
