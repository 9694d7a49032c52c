"""When the tokens of texts begin, from the cross-attention of the alignment heads.

It is computed as in openai-whisper's timing.py (median filter, dynamic time warping), but from the
queries of the decode itself instead of a second pass, and for many rows at once. N rows, A heads,
S text columns, R audio positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor

from consumer.core.audio.utterance import Float32Array
from consumer.inference.device import to_device
from consumer.inference.fold import runs
from consumer.inference.model import DecoderCache

_Int64Array: TypeAlias = npt.NDArray[np.int64]
_FirstPositions: TypeAlias = Callable[[Float32Array, _Int64Array, _Int64Array], _Int64Array]

# The pairs of seven numbers to put in order, in turn, so that the fourth is the median
# (Devillard 1998, "Fast median search"). Sorting all seven takes ten times the memory.
_EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)
_MEDIAN_SIDE = 3  # neighbours on each side
_POSITIONS_PER_S = 50
# Weights that are aligned together: on a CPU they stay in its cache, on a GPU they bound memory.
_WEIGHTS = {"cpu": 2**18, "cuda": 2**24}


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """The columns and positions of the rows that are aligned."""

    rows: Sequence[int]  # of the cache
    first: int  # cache column of the first token that is aligned, in all rows
    before: int  # tokens that are aligned before the text, in all rows
    tokens: Sequence[int]  # of each row's text
    positions: Sequence[int]  # leading audio positions of each row's speech


def starts_s(
    cache: DecoderCache, heads: Sequence[tuple[int, int]], spans: Spans
) -> list[list[float]]:
    """Return for each row of `spans` when its tokens and its end begin, in seconds.

    The times of a row are those of an alignment of this row alone.
    """
    assert cache.queries is not None
    found: list[list[float]] = []
    device, columns = cache.queries.device, spans.before + max(spans.tokens)
    most = max(1, _WEIGHTS[device.type] // (len(heads) * columns))
    sizes = np.array([spans.rows, spans.tokens, spans.positions])
    for run in runs(spans.positions, rows=len(spans.rows), positions=most):
        tokens, positions = sizes[1:, run]
        after, length = spans.first + spans.before + tokens.max(), positions.max()
        chosen, ends, limits = to_device(torch.from_numpy(sizes[:, run].copy()), device)
        parts = [cache.cross[:, layer, 0, head, :length] for layer, head in heads]
        keys = torch.stack([part.index_select(0, chosen) for part in parts], 1)
        queries = cache.queries[:, :, spans.first : after].index_select(0, chosen)
        matrices = alignments(queries, keys, ends + spans.before, limits)[:, spans.before - 1 :]
        found += row_starts_s(matrices.contiguous().cpu().numpy(), tokens + 1, positions)
    return found


def alignments(queries: Tensor, keys: Tensor, columns: Tensor, positions: Tensor) -> Tensor:
    """Return how much each text column attends to each audio position, [N, S, R], fp32.

    `queries` [N, A, S, d] and `keys` [N, A, R, d] are those of the alignment heads, of which a row
    has `columns` [N] and `positions` [N]. The attention over these positions alone is standardised
    over these columns, smoothed, and averaged over the heads.
    """
    # In fp32: products in bf16 are compiled for their shape and cached, and few texts share one.
    scores = queries.float() @ keys.float().transpose(2, 3) * queries.shape[-1] ** -0.5
    number = torch.arange(max(scores.shape[2:]), device=scores.device)
    outside = number[: scores.shape[3]] >= positions[:, None]
    weights = scores.masked_fill_(outside[:, None, None], -torch.inf).softmax(-1)
    inside = (number[: scores.shape[2]] < columns[:, None]).to(weights.dtype)[:, None, :, None]
    count = columns[:, None, None, None]
    distinct = weights - (weights * inside).sum(2, keepdim=True) / count
    deviation = ((distinct.square() * inside).sum(2, keepdim=True) / count).sqrt_()
    distinct /= deviation.clamp_(min=1e-10)
    return smoothed(distinct, positions).mean(1)


def smoothed(x: Tensor, lengths: Tensor) -> Tensor:
    """Return the medians of seven neighbours along the last dimension of [N, A, S, R].

    Each row is reflected at its beginning and at the end of its length [N]. That equals
    openai-whisper's `median_filter`, which leaves dimensions too short for that as they are.
    """
    length, side = x.shape[-1], _MEDIAN_SIDE
    if length <= side:
        return x
    reflected = F.pad(x.flatten(0, 1), (side, side), "reflect").view(*x.shape[:3], -1)
    # Whatever follows the end of a shorter row is replaced by its reflection.
    ahead = torch.arange(1, side + 1, device=x.device)
    last = side - 1 + lengths[:, None]
    shape = *x.shape[:-1], side
    before = (last - ahead).clamp_(min=0)[:, None, None].expand(shape)
    reflected.scatter_(
        -1, (last + ahead)[:, None, None].expand(shape), reflected.gather(-1, before)
    )
    near = [reflected[..., at : at + length] for at in range(2 * side + 1)]
    for low, high in _EXCHANGES:
        pair = near[low], near[high]
        near[low], near[high] = torch.minimum(*pair), torch.maximum(*pair)
    return torch.where((lengths > side)[:, None, None, None], near[side], x)


def row_starts_s(
    matrices: Float32Array, rows: _Int64Array, positions: _Int64Array
) -> Iterator[list[float]]:
    """Yield when each row of N alignments begins, in seconds, not decreasing.

    Of each of the `matrices` [N, S, R], the first `rows` [N] and `positions` [N] are its alignment.
    """
    starts = _first_positions(matrices, rows, positions) / _POSITIONS_PER_S
    for of_one, count in zip(starts.tolist(), rows.tolist(), strict=True):
        yield of_one[:count]


def prepare() -> None:
    """Compile the alignment, or load its machine code; the first text would wait for it."""
    one = np.ones(1, np.int64)
    _first_positions(np.zeros((1, 1, 1), np.float32), one, one)


def _compiled(function: _FirstPositions) -> _FirstPositions:
    """Return the function as machine code, which is kept beside this file or in the user's cache.

    Compiling takes two seconds of a worker's start. Without `parallel`, which starts a thread for
    each core of the host and thereby changes the number of torch's threads, regardless of
    `set_threads` and the container's quota.
    """
    try:
        compiled: _FirstPositions = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither folder can be written
        compiled = numba.njit(nogil=True)(function)
    return compiled


@_compiled
def _first_positions(
    matrices: Float32Array, rows: _Int64Array, positions: _Int64Array
) -> _Int64Array:
    """Return the first position of each row on the cheapest path through each matrix, [N, S].

    It is the path of openai-whisper's `dtw_cpu` through the negative matrix, in whose fp32 costs.
    """
    starts = np.zeros(matrices.shape[:2], np.int64)
    for one in range(len(matrices)):
        count, length = rows[one], positions[one]
        step = np.empty((count + 1, length + 1), np.int8)
        step[:, 0] = 1
        step[0] = 2
        above = np.full(length + 1, np.inf, np.float32)  # costs of the row before
        above[0] = 0
        for i in range(1, count + 1):
            diagonal, above[0] = above[0], np.float32(np.inf)
            left = above[0]
            for j in range(1, length + 1):
                up = above[j]
                cost, taken = left, 2
                if diagonal < up and diagonal < left:
                    cost, taken = diagonal, 0
                elif up < diagonal and up < left:
                    cost, taken = up, 1
                left = cost - matrices[one, i - 1, j - 1]
                above[j] = left
                diagonal = up
                step[i, j] = taken
        i, j = count, length
        while i > 0 or j > 0:
            if i > 0:
                starts[one, i - 1] = j - 1
            taken = step[i, j]
            i -= taken != 2
            j -= taken != 1
    return starts
