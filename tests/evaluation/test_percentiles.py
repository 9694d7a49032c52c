from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.percentiles import BucketCounts, percentile


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.75, 3.0), (0.95, 4.0), (1.0, 4.0)]
)
def test_a_percentile_is_one_of_the_values(share: float, value: float):
    assert percentile([4.0, 2.0, 1.0, 3.0], share) == value


def test_no_values_have_no_percentile():
    assert percentile([], 0.5) is None


@given(values=st.lists(st.floats(0, 100), min_size=1), share=st.floats(0, 1))
def test_at_least_the_share_of_values_is_at_most_the_percentile(values: list[float], share: float):
    at = percentile(values, share)
    assert at is not None
    assert sum(value <= at for value in values) >= share * len(values) - 1e-9


def test_a_histogram_has_the_counts_between_two_scrapes() -> None:
    found = BucketCounts()
    found.add({0.1: 12, 0.2: 20, float("inf"): 20}, {0.1: 10, 0.2: 10, float("inf"): 10})
    assert found.total == 10
    assert found.quantile(0.5) == pytest.approx(0.1 + 0.1 * 3 / 8)
    assert BucketCounts().quantile(0.5) is None
    found.add({float("inf"): 100}, {})
    assert found.quantile(0.99) == 0.2
