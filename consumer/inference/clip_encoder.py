"""Encode clips into the decoder's cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from math import prod

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference import attention_kernels
from consumer.inference.device import to_device
from consumer.inference.fold import BUCKET, Fold, Folding, bucket, padded, runs, stack
from consumer.inference.layers import Parameters
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, DecoderCache, Dims, Encoder
from consumer.inference.workspace import Workspace

# Encoder positions of one pass. On a CPU larger ones than 30 s are hardly faster. A GPU needs many
# to fill its processors, and has memory for their temporaries.
_PART_POSITIONS = {"cpu": 1536, "cuda": 20_480}
_CACHE_STEP = {"cpu": BUCKET, "cuda": 2 * BUCKET}  # lengths of a cache; each costs graphs on a GPU


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
        self._part = _PART_POSITIONS[self._device.type]
        self._step = _CACHE_STEP[self._device.type]
        self._kernel: SDPBackend | None = None  # None: that of the caller

    def encode(
        self, clips: Sequence[DecodeRequest], *, fold: bool, times: int = 1, rows: int = 0
    ) -> DecoderCache:
        """Return a cache with every clip in `times` consecutive rows, and unused ones up to `rows`.

        The cache overwrites that of the previous call. The encoder runs over parts of the batch,
        because its temporaries are far larger than its output.
        """
        folding = self._folding if fold else padded
        folds = [folding(len(clip.samples)) for clip in clips]
        lengths = [len(one.positions) for one in folds]
        words = any(clip.words for clip in clips)
        used = times * len(clips)
        cache = self._cache(max(used, rows), bucket(max(lengths), self._step), words=words)
        # Unused rows are computed too, and what they leave in the buffers must be finite.
        cache.bias[used:] = cache.cross[used:] = 0
        for run in runs([*map(bucket, lengths)], rows=len(clips), positions=self._part):
            part = slice(times * run.start, times * run.stop)
            self._encode_part(clips[run], folds[run], cache.cross[part], cache.bias[part])
        return cache

    def prepare(self, rows: int) -> None:
        """Compile the products of any batch of up to `rows` rows; on CUDA choose the attention."""
        if self._device.type == "cuda":
            heads = self._dims.n_audio_head
            self._kernel = attention_kernels.choose(heads, self._part, self._device, self._dtype)
        self._encoder.prepare(self._part)
        self._decoder.prepare(rows, self._part)

    def reserve(self, sizes: Iterable[tuple[int, int]]) -> None:
        """Allocate the buffers of batches of these (rows, positions), so that they never grow."""
        lengths = [(rows, bucket(positions, self._step)) for rows, positions in sizes]
        for rows, length in sorted(lengths, key=prod, reverse=True):
            self._cache(rows, length, words=True)

    def _encode_part(
        self, clips: Sequence[DecodeRequest], folds: Sequence[Fold], cross: Tensor, bias: Tensor
    ) -> None:
        """Write the keys, values and bias of a part, padded to its own longest clip."""
        batch = stack(folds)
        own = self._tensor(batch.bias)[:, None, None].to(self._dtype)
        positions, source = self._tensor(batch.indices).unbind()
        mel = self._mel([clip.samples for clip in clips], batch.stem)
        with sdpa_kernel(self._kernel) if self._kernel else nullcontext():
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
