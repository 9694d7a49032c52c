from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, std_mean
from whisper.timing import dtw_cpu, median_filter

from consumer.inference import alignment
from consumer.inference.alignment import Spans, alignments, row_starts_s, smoothed, starts_s
from consumer.inference.model import DecoderCache

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=5)


def aligned(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the alignment of one row alone, [S, R]."""
    columns, positions = torch.tensor([queries.shape[1]]), torch.tensor([keys.shape[1]])
    return alignments(queries[None], keys[None], columns, positions)[0]


def expected(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the alignment as openai-whisper computes it, [S, R]."""
    weights = (queries @ keys.transpose(1, 2) * queries.shape[-1] ** -0.5).softmax(-1)
    deviation, mean = std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    return median_filter((weights - mean) / deviation.clamp(min=1e-10), 7).mean(0)


def test_alignments_do_not_change_the_threads_of_torch():
    """With `parallel`, numba would start a thread for each core of the host."""
    source = """
import numpy as np
import torch
from consumer.inference.alignment import row_starts_s

torch.set_num_threads(3)
torch.ones(1000, 1000).sum()
list(row_starts_s(np.eye(3, 9, dtype=np.float32)[None], np.array([3]), np.array([9])))
assert torch.get_num_threads() == 3, torch.get_num_threads()
"""
    subprocess.run(
        [sys.executable, "-c", source], check=True, env=os.environ | {"NUMBA_NUM_THREADS": "2"}
    )


@given(st.integers(1, 20), st.integers(0, 1000))
def test_smoothing_equals_the_median_filter_of_openai_whisper(length: int, seed: int):
    scores = torch.randn(2, 2, 3, length, generator=torch.Generator().manual_seed(seed)).round()
    assert smoothed(scores, torch.tensor([length] * 2)).equal(median_filter(scores, 7))


@pytest.mark.parametrize("seed", range(20))
def test_the_alignments_of_a_batch_are_those_of_each_row_alone(seed: int):
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randint(2, 13, (5,), generator=generator)
    positions = torch.randint(1, 31, (5,), generator=generator)
    queries = 3 * torch.randn(5, 2, 12, 8, generator=generator)
    keys = 3 * torch.randn(5, 2, 30, 8, generator=generator)
    found = alignments(queries, keys, columns, positions)
    for row, (s, r) in enumerate(zip(columns.tolist(), positions.tolist(), strict=True)):
        alone = expected(queries[row, :, :s], keys[row, :, :r])
        torch.testing.assert_close(found[row, :s, :r], alone, rtol=0, atol=2e-3)


@given(SIZES, st.integers(0, 1000), st.booleans())
def test_rows_begin_where_the_path_of_openai_whisper_enters_them(
    sizes: list[tuple[int, int]], seed: int, ties: bool
):
    rows, positions = np.array(sizes).T
    matrices = np.random.default_rng(seed).standard_normal((len(sizes), 12, 30))
    matrices = (np.rint(matrices) if ties else matrices).astype(np.float32)
    for matrix, (s, r), starts in zip(
        matrices, sizes, row_starts_s(matrices, rows, positions), strict=True
    ):
        path, at = dtw_cpu.py_func(-matrix[:s, :r].astype(np.float64))
        assert starts == (at[np.diff(path, prepend=-1) > 0] / 50).tolist()


def test_a_row_begins_at_its_first_attended_position():
    matrix = np.zeros((4, 40), np.float32)
    for row, start in enumerate((0, 10, 20, 30)):
        matrix[row, start : start + 10] = 1
    (starts,) = row_starts_s(matrix[None], np.array([4]), np.array([40]))
    assert starts == pytest.approx([0.0, 0.2, 0.4, 0.6], abs=0.021)


def test_starts_do_not_depend_on_how_many_rows_are_aligned_together(
    monkeypatch: pytest.MonkeyPatch,
):
    generator = torch.Generator().manual_seed(1)
    cache = DecoderCache(
        own=torch.zeros(0),
        cross=torch.randn(4, 2, 2, 2, 64, 8, generator=generator),
        bias=torch.zeros(0),
        queries=torch.randn(4, 2, 40, 8, generator=generator),
    )
    spans = Spans(rows=[3, 0, 1], first=2, before=4, tokens=[5, 0, 9], positions=[20, 64, 33])
    heads = [(0, 1), (1, 0)]
    together = starts_s(cache, heads, spans)
    assert [len(one) for one in together] == [6, 1, 10]
    monkeypatch.setitem(alignment._WEIGHTS, "cpu", 1)
    assert starts_s(cache, heads, spans) == together


def test_an_alignment_is_largest_at_the_attended_position():
    keys = torch.eye(30)[None].repeat(2, 1, 1) * 30
    queries = torch.eye(30)[[2, 12, 25]][None].repeat(2, 1, 1) * 30
    found = aligned(queries, keys.repeat_interleave(10, 1))  # each position ten times
    assert (found.argmax(-1) // 10).tolist() == [2, 12, 25]


def test_an_alignment_over_one_position_is_finite():
    assert aligned(torch.randn(2, 5, 4), torch.randn(2, 1, 4)).isfinite().all()


def test_an_alignment_is_computed_in_fp32():
    """In bf16, a product would be compiled for the shape of every text."""
    queries, keys = torch.randn(2, 5, 64).bfloat16(), torch.randn(2, 30, 64).bfloat16()
    assert torch.equal(aligned(queries, keys), aligned(queries.float(), keys.float()))
