from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.quality.bootstrap import paired
from evaluation.scoring import Score

CLIPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=30
)


def of(counts: list[tuple[int, int, int]]) -> tuple[list[Score], list[Score]]:
    """A system and a reference from (errors, errors, length) of each clip."""
    return [Score(a, n) for a, _, n in counts], [Score(b, n) for _, b, n in counts]


@given(CLIPS)
def test_the_difference_is_that_of_the_rates_and_lies_in_its_interval(
    counts: list[tuple[int, int, int]],
):
    found = paired(*of(counts), resamples=200)
    errors = sum(a - b for a, b, _ in counts)
    assert found.points == pytest.approx(100 * errors / sum(n for *_, n in counts))
    assert found.low_points <= found.high_points


@given(CLIPS)
def test_the_reverse_comparison_is_the_negative(counts: list[tuple[int, int, int]]):
    one, other = paired(*of(counts), 200), paired(*reversed(of(counts)), 200)
    assert other.points == pytest.approx(-one.points)
    assert other.low_points == pytest.approx(-one.high_points)


def test_the_interval_is_that_of_a_binomial_share():
    # 400 clips of one word each, 40 more errors: a binomial share of 10 %, deviation 1.5 points.
    found = paired([Score(int(i < 40), 1) for i in range(400)], [Score(0, 1)] * 400)
    assert found.points == 10
    assert found.low_points == pytest.approx(10 - 1.96 * 1.5, abs=0.3)
    assert found.high_points == pytest.approx(10 + 1.96 * 1.5, abs=0.3)


def test_errors_on_the_same_clips_cancel_out():
    scores = [Score(errors, 5) for errors in range(20)]
    found = paired(scores, scores)
    assert (found.points, found.low_points, found.high_points) == (0, 0, 0)
    assert str(found) == "+0.00 [+0.00, +0.00]"


def test_the_same_figures_give_the_same_interval():
    counts = [(i % 3, i % 2, 4) for i in range(40)]
    assert paired(*of(counts)) == paired(*of(counts))


def test_a_comparison_without_clips_raises():
    with pytest.raises(ValueError, match="no clips"):
        paired([], [])
