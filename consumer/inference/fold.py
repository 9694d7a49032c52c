"""Which encoder positions are computed for a clip: silence folding, as pure arithmetic.

Whisper pads every clip to 30 s, 1500 encoder positions. The padding may not be cut away (stock
weights then loop), but it is nearly constant, so one position can stand for several:

    real            kept one by one       [0, R), R = seconds * 50 and a margin
    tail            one of each 16        [R, 1500), the middle of its group

A kept position that stands for g equal ones gets log(g) added to its attention score, in every
encoder self-attention and every decoder cross-attention. For g equal keys that is exact:
softmax over g copies of a key is softmax over one with + log(g).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

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
BUCKET = 64  # lengths of a batch are multiples of it


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """The encoder positions of one clip."""

    real: int  # leading positions kept one by one
    positions: Int64Array  # [T] ascending, of 0..1499
    counts: Int64Array  # [T] how many positions each stands for; their sum is 1500


Folding: TypeAlias = Callable[[int], Fold]  # of a clip of so many samples


@dataclass(frozen=True, slots=True, eq=False)
class FoldBatch:
    """Folds of several clips, shorter ones filled up to the longest with weight nought."""

    stem: int  # positions the convolution stem has to run over, P
    positions: Int64Array  # [B, T] of 0..1499
    source: Int64Array  # [B, T] where the stem's output, [B, P, D], holds each of them
    bias: Float32Array  # [B, T] added to attention scores: log(count), -inf where filled up


def padded(samples: int) -> Fold:
    """All 1500 positions, as openai-whisper computes them."""
    return Fold(real_positions(samples), np.arange(CONTEXT), np.ones(CONTEXT, np.int64))


def folded(samples: int) -> Fold:
    """The real positions of a clip of so many samples, and one of each group of its tail."""
    real = real_positions(samples)
    starts = np.arange(real, CONTEXT, STRIDE)
    sizes = np.minimum(STRIDE, CONTEXT - starts)
    return Fold(
        real,
        np.concatenate([np.arange(real), starts + sizes // 2]),
        np.concatenate([np.ones(real, np.int64), sizes]),
    )


def kept_positions(samples: int, *, fold: bool) -> int:
    """How many encoder positions a clip costs."""
    return folded_positions(samples) if fold else CONTEXT


def stack(folds: Sequence[Fold]) -> FoldBatch:
    """Every row keeps its own positions: one R for all would change texts with the batch."""
    stem = bucket(max(fold.real for fold in folds) + 2)
    longest = bucket(max(len(fold.positions) for fold in folds))
    positions = np.stack([_fill(fold.positions, longest, 0) for fold in folds])
    counts = np.stack([_fill(fold.counts, longest, 0) for fold in folds])
    with np.errstate(divide="ignore"):
        bias = np.log(counts.astype(np.float32))
    return FoldBatch(stem, positions, _source(positions, stem), bias)


def runs(kept: Sequence[int], *, rows: int, positions: int) -> Iterator[slice]:
    """Clips that keep so many positions, in their order, as few batches within both bounds.

    A row costs what the longest of its batch keeps. A clip over the bounds is a batch of its own.
    """
    first = longest = 0
    for index, own in enumerate(kept):
        count, longest = index - first + 1, max(longest, own)
        if count > 1 and (count > rows or count * longest > positions):
            yield slice(first, index)
            first, longest = index, own
    if kept:
        yield slice(first, len(kept))


def bucket(positions: int) -> int:
    """Few lengths: every other one costs a processor compiled products, a GPU a graph."""
    return min(CONTEXT, -(-positions // BUCKET) * BUCKET)


def _fill(values: Int64Array, length: int, value: int) -> Int64Array:
    return np.pad(values, (0, length - len(values)), constant_values=value)


def _source(positions: Int64Array, stem: int) -> Int64Array:
    """Where a stem run over `stem` positions holds each of the 1500.

    Behind the clip all positions are equal but the last, which has the convolutions' zero padding
    beside it: so the shorter run's last stands for it, and the one before for all the others.
    """
    last = positions == CONTEXT - 1
    return np.where(last, stem - 1, np.minimum(positions, stem - 2))
