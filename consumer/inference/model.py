"""Whisper's encoder over any subset of its positions, and its decoder with static caches.

Radford et al. 2022; module by module as in openai-whisper's model.py, by whose names the weights
are addressed. B rows, T encoder positions, S new text columns, C cache columns, L layers, H heads,
D = H * d state, V tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor

from consumer.inference.fold import BUCKET
from consumer.inference.layers import (
    Linear,
    Parameters,
    attend,
    pad_rows,
    row_counts,
    split_heads,
)

_WIDTH = 3  # of both convolutions
_LIKELIEST = 8  # tokens whose logits are exact


class Dims(Protocol):
    """The sizes of a checkpoint, by openai-whisper's names."""

    n_mels: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int


class _SelfAttention:
    """Layer normalisation, query, key and value in one product, and the output projection."""

    def __init__(self, parameters: Parameters, name: str, heads: int) -> None:
        parts = [f"{name}.attn.{part}" for part in ("query", "key", "value")]
        self._norm, self._qkv = parameters.normed(f"{name}.attn_ln", *parts)
        self.out = parameters.linear(f"{name}.attn.out")
        self._heads = heads

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Project [B, T, D] to query, key and value [B, H, T, d]."""
        return split_heads(self._qkv(self._norm(x)), 3, self._heads)

    def attend_all(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend among the first B * T of the rows [M, D]; `bias` is [B, 1, 1, T]."""
        shape = len(bias), bias.shape[-1]
        qkv = self._qkv(self._norm(x))[: math.prod(shape)]
        query, key, value = split_heads(qkv.view(*shape, -1), 3, self._heads)
        attended = attend(query, key, value, bias)
        return self.out(pad_rows(attended.flatten(0, 1)))

    def prepare(self, rows: int) -> None:
        self._qkv.prepare(rows)
        self.out.prepare(rows)


class _Mlp:
    def __init__(self, parameters: Parameters, name: str) -> None:
        self._norm, self._up = parameters.normed(f"{name}.mlp_ln", f"{name}.mlp.0", gelu=True)
        self._down = parameters.after_gelu(f"{name}.mlp.2")

    def __call__(self, x: Tensor) -> Tensor:
        return self._down(self._up(self._norm(x)))

    def prepare(self, rows: int) -> None:
        self._up.prepare(rows)
        self._down.prepare(rows)


class Encoder:
    """Encodes log-mel frames to audio features at chosen positions."""

    def __init__(self, parameters: Parameters, dims: Dims) -> None:
        self._dtype = parameters.dtype
        self._conv1 = parameters.convolution("encoder.conv1")
        self._conv2 = parameters.convolution("encoder.conv2")
        self._positions = parameters.tensor("encoder.positional_embedding")
        names = [f"encoder.blocks.{i}" for i in range(dims.n_audio_layer)]
        self._blocks = [
            (_SelfAttention(parameters, name, dims.n_audio_head), _Mlp(parameters, name))
            for name in names
        ]
        self._norm = parameters.norm("encoder.ln_post")

    def __call__(self, mel: Tensor, source: Tensor, positions: Tensor, bias: Tensor) -> Tensor:
        """Return the audio features [B, T, D] of the frames `mel` [B, 2P, n_mels].

        `positions` [B, T] are the kept ones of 1500, `source` [B, T] their indexes in the P outputs
        of the convolutions, and `bias` [B, 1, 1, T] is added to the scores of their keys.
        """
        stem = self._stem(mel.to(self._dtype))
        rows = torch.arange(len(stem), device=stem.device)[:, None]
        kept = stem[rows, source].add_(self._positions[positions])
        x = pad_rows(kept.flatten(0, 1))
        for attention, mlp in self._blocks:
            x += attention.attend_all(x, bias)
            x += mlp(x)
        return self._norm(x)[: positions.numel()].view_as(kept)

    def prepare(self, positions: int) -> None:
        """Compile the products of batches of up to `positions` positions."""
        for rows in row_counts(2 * positions, 2 * BUCKET):
            self._conv1.prepare(rows)
        for rows in row_counts(positions, BUCKET):
            self._conv2.prepare(rows)
            for part in self._blocks[0]:  # all blocks have the same shapes
                part.prepare(rows)

    def _stem(self, mel: Tensor) -> Tensor:
        return _convolve(self._conv2, _convolve(self._conv1, mel, stride=1), stride=2)


def _convolve(layer: Linear, x: Tensor, stride: int) -> Tensor:
    """Convolve [B, T, C] -> [B, T / stride, D], with zero padding at both ends."""
    windows = F.pad(x, (0, 0, 1, 1)).unfold(1, _WIDTH, stride)
    return layer(windows.transpose(2, 3).flatten(2))


@dataclass(slots=True)
class DecoderCache:
    """What a decoder step reads beside its tokens; rows first, so that rows can be removed."""

    own: Tensor  # [B, L, 2, H, C, d] keys and values of the text columns so far
    cross: Tensor  # [B, L, 2, H, T, d] keys and values of the audio features
    bias: Tensor  # [B, 1, 1, T] added to cross-attention scores
    queries: Tensor | None  # [B, A, C, d] the alignment heads' queries; None: no word times


class _DecoderBlock:
    def __init__(
        self, parameters: Parameters, name: str, heads: int, aligned: Sequence[int]
    ) -> None:
        self._heads = heads
        self._own = _SelfAttention(parameters, name, heads)
        self._norm, self._query = parameters.normed(
            f"{name}.cross_attn_ln", f"{name}.cross_attn.query"
        )
        self._audio = parameters.linear(f"{name}.cross_attn.key", f"{name}.cross_attn.value")
        self._out = parameters.linear(f"{name}.cross_attn.out")
        self._mlp = _Mlp(parameters, name)
        self.aligned = list(aligned)

    def read_audio(self, features: Tensor, out: Tensor) -> None:
        """Write the keys and values of [B, T, D] to all N rows of `out` [B, N, 2, H, T, d]."""
        key, value = split_heads(self._audio(features), 2, self._heads)
        out[:, :, 0].copy_(key[:, None])
        out[:, :, 1].copy_(value[:, None])

    def attend_text(self, x: Tensor, columns: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        """Apply self-attention; write the new keys and values to `own` [B, 2, H, C, d]."""
        query, key, value = self._own.project(x)
        own[:, 0].index_copy_(2, columns, key)
        own[:, 1].index_copy_(2, columns, value)
        keys, values = own[..., : mask.shape[-1], :].unbind(1)
        return self._own.out(attend(query, keys, values, mask))

    def attend_audio(self, x: Tensor, cross: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Apply cross-attention to [B, 2, H, T, d]; return also its queries [B, H, S, d]."""
        (query,) = split_heads(self._query(self._norm(x)), 1, self._heads)
        return self._out(attend(query, cross[:, 0], cross[:, 1], bias)), query

    def feed_forward(self, x: Tensor) -> Tensor:
        return self._mlp(x)

    def prepare(self, rows: int) -> None:
        self._own.prepare(rows)
        self._mlp.prepare(rows)

    def prepare_audio(self, rows: int) -> None:
        self._audio.prepare(rows)


class Decoder:
    """Computes the states that predict the next tokens. No shape depends on a value."""

    def __init__(
        self, parameters: Parameters, dims: Dims, alignment_heads: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._embedding = parameters.tensor("decoder.token_embedding.weight")
        self._positions = parameters.tensor("decoder.positional_embedding")
        self._blocks = [
            _DecoderBlock(
                parameters,
                f"decoder.blocks.{layer}",
                dims.n_text_head,
                [head for at, head in alignment_heads if at == layer],
            )
            for layer in range(dims.n_text_layer)
        ]
        self._norm = parameters.norm("decoder.ln")
        self._vocabulary = parameters.vocabulary(self._embedding)
        self._is_exact = parameters.dtype is torch.float32 and isinstance(self._vocabulary, Linear)
        self.alignment_heads = [
            (layer, head) for layer, block in enumerate(self._blocks) for head in block.aligned
        ]

    def read_audio(self, features: Tensor, out: Tensor) -> None:
        """Write cross-attention keys and values of [B, T, D] to `out` [B * N, L, 2, H, T, d].

        Each clip of B fills N consecutive rows.
        """
        for block, part in zip(self._blocks, out.unbind(1), strict=True):
            block.read_audio(features, part.view(len(features), -1, *part.shape[1:]))

    def prepare(self, rows: int, positions: int) -> None:
        """Compile the products of steps with up to `rows` rows and `positions` audio positions.

        Each token of a prompt is a row of a product, so a batch needs more than its own rows.
        """
        for count in row_counts(max(rows, BUCKET)):
            self._blocks[0].prepare(count)
        for count in row_counts(rows):
            self._vocabulary.prepare(count)
        for count in row_counts(positions, BUCKET):
            self._blocks[0].prepare_audio(count)

    def __call__(
        self, tokens: Tensor, positions: Tensor, columns: Tensor, mask: Tensor, cache: DecoderCache
    ) -> Tensor:
        """Return the states [B, S, D] of the tokens [B, S], written to cache `columns` [S].

        `positions` [B, S] count from the first token of each row; `mask` [B, 1, S or 1, W] is added
        to the scores of the first W columns.
        """
        x = F.embedding(tokens, self._embedding) + F.embedding(positions, self._positions)
        captured = []
        for block, own, cross in zip(
            self._blocks, cache.own.unbind(1), cache.cross.unbind(1), strict=True
        ):
            x += block.attend_text(x, columns, mask, own)
            attended, queries = block.attend_audio(x, cross, cache.bias)
            x += attended
            x += block.feed_forward(x)
            captured += [queries[:, head] for head in block.aligned]
        if cache.queries is not None:
            cache.queries.index_copy_(2, columns, torch.stack(captured, 1))
        return self._norm(x)

    def logits(self, states: Tensor) -> Tensor:
        """Map states [N, D] to the logits of all tokens [N, V], fp32.

        Those of the likeliest tokens are computed in fp32 whatever the dtype of the others: in 16
        bits or int8 the best two are often equal, and then their order depends on the batch.
        """
        logits = self._vocabulary(states).float()
        if self._is_exact:
            return logits
        likeliest = logits.topk(_LIKELIEST).indices
        return logits.scatter_(1, likeliest, self.logits_of(states, likeliest))

    def logits_of(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Map states [N, D] to the logits of `tokens`, [K] or [N, K] -> [N, K], in fp32."""
        return (self._embedding[tokens].float() @ states.float()[..., None])[..., 0]
