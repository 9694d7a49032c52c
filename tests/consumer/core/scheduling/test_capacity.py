"""The budget of a batch, computed from the timings of two batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.capacity import (
    BATCH_S,
    OVERHEAD,
    BatchLimits,
    BatchTiming,
    Budget,
    limited,
    measured_budget,
    positions,
)
from consumer.inference.fold import folded


def timings(
    fixed_s: float, position_s: float, small: int = 300, large: int = 2400
) -> list[BatchTiming]:
    return [BatchTiming(size, fixed_s + size * position_s) for size in (small, large)]


@given(st.integers(1, 30 * WHISPER_RATE))
def test_positions_are_those_of_the_folded_encoder(samples: int) -> None:
    assert positions(samples / WHISPER_RATE) == len(folded(samples).positions)


def test_a_batch_takes_100_ms_if_its_fixed_cost_is_small() -> None:
    budget = measured_budget(*timings(0.005, 1e-5), rows=16)
    assert budget.positions == round((BATCH_S - 0.005) / 1e-5)
    assert budget.overhead == 500


def test_a_large_fixed_cost_makes_batches_larger() -> None:
    budget = measured_budget(*timings(0.07, 2e-4), rows=16)
    assert budget.overhead / (budget.overhead + budget.positions) == pytest.approx(OVERHEAD, 0.01)


def test_a_batch_as_large_as_the_measured_one_is_always_allowed() -> None:
    assert measured_budget(*timings(0.0, 1e-2), rows=16).positions == 2400


def test_only_rows_limit_a_batch_whose_time_does_not_grow() -> None:
    budget = measured_budget(BatchTiming(300, 0.1), BatchTiming(2400, 0.09), rows=16)
    assert budget.positions == 16 * 1500


@given(st.floats(0, 1), st.floats(1e-9, 1e-2), st.integers(1, 64))
def test_every_measured_budget_allows_a_batch(fixed_s: float, position_s: float, rows: int) -> None:
    budget = measured_budget(*timings(fixed_s, position_s), rows=rows)
    assert 1 <= budget.positions <= rows * 1500
    assert budget.rows == rows
    assert budget.overhead >= 0


def test_a_budget_is_within_the_limits_of_the_model():
    measured = Budget(positions=40_000, rows=64, overhead=100)
    within = limited(measured, BatchLimits(16, 8192), folded=False)
    assert within == Budget(8192, 16, 100, folded=False)
    assert limited(within, BatchLimits(64, 32_768), folded=True) == Budget(8192, 16, 100)
