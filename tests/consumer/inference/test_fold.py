from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.capacity import CONTEXT, STRIDE
from consumer.inference.fold import BUCKET, MAX_SAMPLES, folded, kept_positions, padded, runs, stack
from consumer.inference.layers import attend

pytestmark = pytest.mark.usefixtures("one_thread")

SAMPLES = st.integers(1, MAX_SAMPLES)


@given(SAMPLES)
def test_every_position_is_counted_once(samples: int):
    fold = folded(samples)
    assert fold.counts.sum() == CONTEXT
    assert len(fold.positions) == len(fold.counts)
    assert (np.diff(fold.positions) > 0).all()
    assert fold.positions[-1] < CONTEXT


@given(SAMPLES)
def test_all_real_positions_are_kept_with_a_margin(samples: int):
    fold = folded(samples)
    assert fold.positions[: fold.real].tolist() == list(range(fold.real))
    assert (fold.counts[: fold.real] == 1).all()
    assert 15 <= fold.real - samples / 320 < 16 or fold.real == CONTEXT


@given(SAMPLES)
def test_a_kept_position_lies_among_those_it_represents(samples: int):
    fold = folded(samples)
    ends = np.cumsum(fold.counts)
    assert (ends - fold.counts <= fold.positions).all()
    assert (fold.positions < ends).all()
    assert fold.counts.max() <= STRIDE


def test_four_seconds_cost_a_fifth_of_thirty():
    assert len(folded(64_000).positions) == 296
    assert len(padded(64_000).positions) == CONTEXT


def test_thirty_seconds_have_no_tail():
    assert folded(MAX_SAMPLES).positions.tolist() == padded(MAX_SAMPLES).positions.tolist()


@given(st.lists(SAMPLES, min_size=1, max_size=5))
def test_the_positions_of_a_row_do_not_depend_on_its_batch(lengths: list[int]):
    batch = stack([folded(samples) for samples in lengths])
    for samples, positions, bias in zip(lengths, batch.positions, batch.bias, strict=True):
        alone = folded(samples)
        kept = len(alone.positions)
        assert positions[:kept].tolist() == alone.positions.tolist()
        assert np.exp(bias[:kept]) == pytest.approx(alone.counts)
        assert np.isneginf(bias[kept:]).all()


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=8),
    st.integers(0, 1000),
)
def test_a_key_with_its_log_count_equals_that_many_copies(counts: list[int], seed: int):
    random = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(1, 2, n, 4, generator=random) for n in (3, len(counts), len(counts))
    )
    bias = torch.tensor(counts, dtype=torch.float32).log()[None, None, None]
    times = torch.tensor(counts)
    copies = attend(
        query,
        key.repeat_interleave(times, 2),
        value.repeat_interleave(times, 2),
        torch.zeros(1, 1, 1, int(times.sum())),
    )
    torch.testing.assert_close(attend(query, key, value, bias), copies, rtol=1e-4, atol=1e-5)


@given(SAMPLES)
def test_kept_positions_equal_those_of_the_fold(samples: int) -> None:
    assert kept_positions(samples, fold=True) == len(folded(samples).positions)
    assert kept_positions(samples, fold=False) == len(padded(samples).positions)


@given(st.lists(SAMPLES, min_size=1, max_size=4))
def test_the_lengths_of_a_batch_are_buckets(lengths: list[int]) -> None:
    batch = stack([folded(samples) for samples in lengths])
    assert all(n % BUCKET == 0 or n == CONTEXT for n in (batch.stem, batch.positions.shape[1]))


@given(st.lists(st.integers(1, CONTEXT), max_size=20), st.integers(1, 9), st.integers(1, 4_000))
def test_runs_contain_every_clip_once_within_both_bounds(
    kept: list[int], rows: int, positions: int
):
    found = [kept[run] for run in runs(kept, rows=rows, positions=positions)]
    assert [one for run in found for one in run] == kept
    for run in found:
        assert len(run) == 1 or (len(run) <= rows and len(run) * max(run) <= positions)


@given(st.lists(st.integers(1, CONTEXT), max_size=20), st.integers(1, 9), st.integers(1, 4_000))
def test_no_run_could_include_the_next_clip(kept: list[int], rows: int, positions: int):
    found = [*runs(kept, rows=rows, positions=positions)]
    for run in found[:-1]:
        with_next = kept[run.start : run.stop + 1]
        assert len(with_next) > rows or len(with_next) * max(with_next) > positions
