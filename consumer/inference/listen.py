"""Clips -> all that the decoder needs to know of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from consumer.core.values import Clip
from consumer.inference.fold import folded, padded, stack
from consumer.inference.layers import Parameters
from consumer.inference.mel import LogMel
from consumer.inference.model import Decoder, Dims, Encoder, Memory
from consumer.inference.workspace import Workspace


class Listener:
    """Mel, encoder and the decoder's cross-attention, over buffers that stay."""

    def __init__(self, parameters: Parameters, dims: Dims, decoder: Decoder) -> None:
        self._dims = dims
        self._mel = LogMel(dims.n_mels, parameters.device)
        self._encoder = Encoder(parameters, dims)
        self._decoder = decoder
        self._workspace = Workspace(parameters.device, parameters.dtype)
        self._device = parameters.device
        self._dtype = parameters.dtype

    def listen(self, clips: Sequence[Clip], *, fold: bool, times: int = 1) -> Memory:
        """A memory with every clip in so many rows, one after the other.

        It lives in the buffers of the one before, which is lost.
        """
        kept = folded if fold else padded
        batch = stack([kept(len(clip.samples)) for clip in clips])
        bias = self._tensor(batch.bias)[:, None, None].to(self._dtype)
        features = self._encoder(
            self._mel([clip.samples for clip in clips], batch.stem),
            self._tensor(batch.source),
            self._tensor(batch.positions),
            bias,
        )
        words = any(clip.words for clip in clips)
        memory = self._memory(bias.repeat_interleave(times, 0), words=words)
        self._decoder.read_audio(features.repeat_interleave(times, 0), memory.cross)
        return memory

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def _memory(self, bias: Tensor, *, words: bool) -> Memory:
        dims, take = self._dims, self._workspace.take
        rows, head = len(bias), dims.n_text_state // dims.n_text_head
        heads = (rows, dims.n_text_layer, 2, dims.n_text_head)
        aligned = len(self._decoder.alignment_heads)
        return Memory(
            own=take("own", *heads, dims.n_text_ctx, head),
            cross=take("cross", *heads, bias.shape[-1], head),
            bias=bias,
            queries=take("queries", rows, aligned, dims.n_text_ctx, head) if words else None,
        )
