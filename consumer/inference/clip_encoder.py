"""Clips -> all that the decoder needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.device import to_device
from consumer.inference.fold import Fold, Folding, bucket, padded, runs, stack
from consumer.inference.layers import Parameters
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, DecoderCache, Dims, Encoder
from consumer.inference.workspace import Workspace

_PART_POSITIONS = 1536  # encoder positions that go through it at once: 30 s; more is hardly faster


class ClipEncoder:
    """Mel, encoder and the decoder's cross-attention, over buffers that stay."""

    def __init__(
        self,
        parameters: Parameters,
        dims: Dims,
        decoder: Decoder,
        folding: Folding,
        workspace: Workspace,
    ) -> None:
        self._dims = dims
        self._mel = LogMel(dims.n_mels, parameters.device)
        self._encoder = Encoder(parameters, dims)
        self._decoder = decoder
        self._folding = folding
        self._workspace = workspace
        self._device = parameters.device
        self._dtype = parameters.dtype

    def encode(self, clips: Sequence[DecodeRequest], *, fold: bool, times: int = 1) -> DecoderCache:
        """A memory with every clip in so many rows, one after the other.

        It lives in the buffers of the one before, which is lost. The encoder runs over parts of
        the batch: its temporaries are far larger than what it leaves behind.
        """
        kept = self._folding if fold else padded
        folds = [kept(len(clip.samples)) for clip in clips]
        lengths = [len(one.positions) for one in folds]
        words = any(clip.words for clip in clips)
        memory = self._cache(times * len(clips), bucket(max(lengths)), words=words)
        for run in runs([*map(bucket, lengths)], rows=len(clips), positions=_PART_POSITIONS):
            rows = slice(times * run.start, times * run.stop)
            self._encode_part(clips[run], folds[run], memory.cross[rows], memory.bias[rows])
        return memory

    def prepare(self, rows: int) -> None:
        """Compile what any batch of up to so many rows takes."""
        self._encoder.prepare(_PART_POSITIONS)
        self._decoder.prepare(rows, _PART_POSITIONS)

    def reserve(self, rows: int, positions: int) -> None:
        """Have the buffers that any batch within both bounds takes: they do not grow later."""
        sizes = [(count, bucket(positions // count)) for count in range(1, rows + 1)]
        for count, length in sorted(sizes, key=prod, reverse=True):
            self._cache(count, length, words=True)

    def _encode_part(
        self, clips: Sequence[DecodeRequest], folds: Sequence[Fold], cross: Tensor, bias: Tensor
    ) -> None:
        """Write keys, values and bias of a part; its own longest clip decides what it costs."""
        batch = stack(folds)
        own = self._tensor(batch.bias)[:, None, None].to(self._dtype)
        features = self._encoder(
            self._mel([clip.samples for clip in clips], batch.stem),
            self._tensor(batch.source),
            self._tensor(batch.positions),
            own,
        )
        length = own.shape[-1]
        self._decoder.read_audio(features, cross[..., :length, :])
        bias[..., :length] = own.repeat_interleave(len(bias) // len(own), 0)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return to_device(torch.from_numpy(array), self._device)

    def _cache(self, rows: int, length: int, *, words: bool) -> DecoderCache:
        dims, take = self._dims, self._workspace.buffer
        head = dims.n_text_state // dims.n_text_head
        heads = (rows, dims.n_text_layer, 2, dims.n_text_head)
        aligned = len(self._decoder.alignment_heads)
        return DecoderCache(
            own=take("own", *heads, dims.n_text_ctx, head),
            cross=take("cross", *heads, length, head),
            bias=take("bias", rows, 1, 1, length).fill_(-torch.inf),
            queries=take("queries", rows, aligned, dims.n_text_ctx, head) if words else None,
        )
