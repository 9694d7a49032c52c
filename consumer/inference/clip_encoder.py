"""Encode clips into the decoder's cache."""

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

_PART_POSITIONS = 1536  # encoder positions of one pass, 30 s; larger passes are hardly faster


class ClipEncoder:
    """Mel spectrogram, encoder and cross-attention projections, over reused buffers."""

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
        """Return a cache with every clip in `times` consecutive rows.

        The cache overwrites that of the previous call. The encoder runs over parts of the batch,
        because its temporaries are far larger than its output.
        """
        folding = self._folding if fold else padded
        folds = [folding(len(clip.samples)) for clip in clips]
        lengths = [len(one.positions) for one in folds]
        words = any(clip.words for clip in clips)
        cache = self._cache(times * len(clips), bucket(max(lengths)), words=words)
        for run in runs([*map(bucket, lengths)], rows=len(clips), positions=_PART_POSITIONS):
            rows = slice(times * run.start, times * run.stop)
            self._encode_part(clips[run], folds[run], cache.cross[rows], cache.bias[rows])
        return cache

    def prepare(self, rows: int) -> None:
        """Compile the products of any batch of up to `rows` rows."""
        self._encoder.prepare(_PART_POSITIONS)
        self._decoder.prepare(rows, _PART_POSITIONS)

    def reserve(self, rows: int, positions: int) -> None:
        """Allocate the buffers of any batch within both bounds, so that they never grow."""
        sizes = [(count, bucket(positions // count)) for count in range(1, rows + 1)]
        for count, length in sorted(sizes, key=prod, reverse=True):
            self._cache(count, length, words=True)

    def _encode_part(
        self, clips: Sequence[DecodeRequest], folds: Sequence[Fold], cross: Tensor, bias: Tensor
    ) -> None:
        """Write the keys, values and bias of a part, padded to its own longest clip."""
        batch = stack(folds)
        own = self._tensor(batch.bias)[:, None, None].to(self._dtype)
        positions, source = self._tensor(batch.indices).unbind()
        mel = self._mel([clip.samples for clip in clips], batch.stem)
        features = self._encoder(mel, source, positions, own)
        length, times = own.shape[-1], len(bias) // len(own)
        self._decoder.read_audio(features, cross[..., :length, :])
        bias[..., :length] = own if times == 1 else own.repeat_interleave(times, 0)

    def _tensor(self, array: np.ndarray) -> Tensor:
        return to_device(torch.from_numpy(array), self._device)

    def _cache(self, rows: int, length: int, *, words: bool) -> DecoderCache:
        dims, buffer = self._dims, self._workspace.buffer
        head = dims.n_text_state // dims.n_text_head
        heads = (rows, dims.n_text_layer, 2, dims.n_text_head)
        aligned = len(self._decoder.alignment_heads)
        return DecoderCache(
            own=buffer("own", *heads, dims.n_text_ctx, head),
            cross=buffer("cross", *heads, length, head),
            bias=buffer("bias", rows, 1, 1, length).fill_(-torch.inf),
            queries=buffer("queries", rows, aligned, dims.n_text_ctx, head) if words else None,
        )
