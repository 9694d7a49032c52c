"""Silence folding: which encoder positions are computed for a clip, as pure arithmetic.

Whisper pads every clip to 30 s, 1500 encoder positions. The padding cannot be cut off (stock
weights then loop), but it is nearly constant, so one position can represent several:

    real            each one kept         [0, R), R = seconds * 50 and a margin
    tail            one of each 16        [R, 1500), the middle of its group

A kept position that represents g positions gets log(g) added to its attention score, in every
encoder self-attention and every decoder cross-attention. For g equal keys that is exact:
softmax over g copies of a key is softmax over one with + log(g).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.capacity import (
    CONTEXT,
    POSITION_SAMPLES,
    STRIDE,
    folded_positions,
    real_positions,
)

Int64Array: TypeAlias = npt.NDArray[np.int64]

MAX_SAMPLES = CONTEXT * POSITION_SAMPLES
BUCKET = 64  # the positions of a batch are a multiple of it


_ALL: Final = np.arange(CONTEXT)
_EACH: Final = np.ones(CONTEXT, np.int64)
_NO_BIAS: Final = np.zeros(CONTEXT, np.float32)
_KNOWN_FOLDS: Final = 512  # about 6 KB each


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The encoder positions of one clip."""

    real: int  # leading positions that are all kept
    positions: Int64Array  # [T] ascending, of 0..1499
    counts: Int64Array  # [T] how many positions each represents; their sum is 1500
    bias: Float32Array  # [T] added to attention scores: log(count)


Folding: TypeAlias = Callable[[int], Fold]  # maps the number of a clip's samples to its fold


@dataclass(frozen=True, slots=True, eq=False)
class FoldBatch:
    """Folds of several clips, shorter ones padded to the longest with positions of weight 0."""

    stem: int  # positions that the convolutions compute, P
    indices: Int64Array  # [2, B, T] `positions` and `source`
    bias: Float32Array  # [B, T] added to attention scores: log(count), -inf for padding

    @property
    def positions(self) -> Int64Array:
        """[B, T] of 0..1499."""
        positions: Int64Array = self.indices[0]
        return positions

    @property
    def source(self) -> Int64Array:
        """[B, T] index of each position in the convolutions' output [B, P, D]."""
        source: Int64Array = self.indices[1]
        return source


def padded(samples: int) -> Fold:
    """Return the fold that keeps all 1500 positions, as openai-whisper computes them."""
    return Fold(real_positions(samples), _ALL, _EACH, _NO_BIAS)


def folded(samples: int) -> Fold:
    """Return the fold of a clip: its real positions, and the middle of each group of the tail."""
    return _folded(real_positions(samples))


@lru_cache(maxsize=_KNOWN_FOLDS)
def _folded(real: int) -> Fold:
    starts = np.arange(real, CONTEXT, STRIDE)
    sizes = np.minimum(STRIDE, CONTEXT - starts)
    positions = np.concatenate([_ALL[:real], starts + sizes // 2])
    counts = np.concatenate([_EACH[:real], sizes])
    return Fold(real, positions, counts, np.log(counts.astype(np.float32)))


def kept_positions(samples: int, *, fold: bool) -> int:
    """Return how many encoder positions a clip of `samples` costs."""
    return folded_positions(samples) if fold else CONTEXT


def stack(folds: Sequence[Fold]) -> FoldBatch:
    """Batch folds. Each row keeps its own R: a shared one would make texts depend on the batch."""
    stem = bucket(max(fold.real for fold in folds) + 2)
    longest = bucket(max(len(fold.positions) for fold in folds))
    indices = np.zeros((2, len(folds), longest), np.int64)
    bias = np.full((len(folds), longest), -np.inf, np.float32)
    for row, fold in enumerate(folds):
        kept = len(fold.positions)
        indices[0, row, :kept] = fold.positions
        bias[row, :kept] = fold.bias
    _source(indices[0], stem, out=indices[1])
    return FoldBatch(stem, indices, bias)


def runs(kept: Sequence[int], *, rows: int, positions: int) -> Iterator[slice]:
    """Yield slices of clips that keep `kept` positions: few batches within both bounds, in order.

    A row costs as many positions as the longest of its batch. A clip above the bounds is a batch of
    its own.
    """
    first = longest = 0
    for index, own in enumerate(kept):
        count, longest = index - first + 1, max(longest, own)
        if count > 1 and (count > rows or count * longest > positions):
            yield slice(first, index)
            first, longest = index, own
    if kept:
        yield slice(first, len(kept))


def bucket(positions: int, step: int = BUCKET) -> int:
    """Round up to one of few lengths: each costs compiled products on a CPU, a graph on a GPU."""
    return min(CONTEXT, -(-positions // step) * step)


def _source(positions: Int64Array, stem: int, out: Int64Array) -> None:
    """Write the index of each position in the output of convolutions over `stem` positions.

    After the clip all positions are equal but the last one of 1500, which is next to the zero
    padding of the convolutions. The last position of the shorter run has the same neighbours and
    represents it; the one before represents all others.
    """
    np.minimum(positions, stem - 2, out=out)
    out[positions == CONTEXT - 1] = stem - 1
