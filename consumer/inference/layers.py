"""Whisper's layers over plain tensors, built from the tensors of a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor

from consumer.inference.quantized import QuantizedLinear, balanced

_FEW_ROWS = 4  # up to which the product with int8 weights is faster
_EXACT_ROWS = 16  # up to which rows are not rounded up: steps of the decoder
_ROW_STEPS = ((64, 32), (512, 64), (2048, 128), (math.inf, 256))  # (rows, rounded up to)
_LARGEST_BYTE = 127


def compiled_rows(rows: int) -> int:
    """Round up to the next number of rows for which products are compiled.

    oneDNN compiles a bf16 product for each number of rows, which takes milliseconds and keeps about
    1 MB. Few numbers bound that; the encoder's are multiples of 64, so about 2 % of rows are added.
    """
    if rows <= _EXACT_ROWS:
        return rows
    step = next(step for limit, step in _ROW_STEPS if rows <= limit)
    return -(-rows // step) * step


def row_counts(most: int, step: int = 1) -> list[int]:
    """Return the compiled numbers of rows for all multiples of `step` up to `most` rows."""
    return sorted({compiled_rows(rows) for rows in range(step, most + 1, step)})


def pad_rows(x: Tensor) -> Tensor:
    """Append rows of zeros, [rows, D] -> [compiled_rows(rows), D]."""
    spare = compiled_rows(len(x)) - len(x)
    return F.pad(x, (0, 0, 0, spare)) if spare else x


class Linear:
    """x [..., in] -> x W^T + b [..., out], optionally through GELU.

    On a CPU with bf16 products the weight is reordered for oneDNN once, with GELU fused: two to
    three times faster at decoder sizes, and no large temporary between product and activation.
    Padding the rows copies them, so a caller with many pads once for several products.
    """

    __slots__ = ("_bias", "_gelu", "_packed", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        self._packed = _can_pack(weight)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight) if self._packed else weight  # noqa: SLF001 -- as torch.compile's freezing does; no public form
        self._bias = bias
        self._gelu = gelu

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            rows = x.shape[:-1].numel()
            if rows == compiled_rows(rows):
                return self._product(x)
            return self._product(pad_rows(x.flatten(0, -2)))[:rows].view(*x.shape[:-1], -1)
        y = F.linear(x, self._weight, self._bias)
        return F.gelu(y) if self._gelu else y

    def prepare(self, rows: int) -> None:
        """Compile the product for a number of rows, if products are compiled."""
        if self._packed:
            self._product(torch.zeros(rows, self._weight.shape[1], dtype=self._weight.dtype))

    def _product(self, x: Tensor) -> Tensor:
        activation = "gelu" if self._gelu else "none"
        product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 -- as above
            x, self._weight, self._bias, activation, [], "none"
        )
        return product


class ByteLinear:
    """A Linear with an int8 weight and a power of two as the scale of each output.

    A step of few rows is bound by the memory bandwidth of its weights, which int8 halves. For more
    rows a Linear is faster; it has the same weight, because an int8 times a power of two is exact
    in bf16. So the choice changes a text no more than the size of its batch does.
    """

    __slots__ = ("_bias", "_bytes", "_gelu", "_many", "_scale")

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        peak = weight.float().abs().amax(1, keepdim=True).clamp_(min=torch.finfo().tiny)
        scale = (peak / _LARGEST_BYTE).log2_().ceil_().exp2_()
        rounded = (weight / scale).round_()
        self._many = Linear((rounded * scale).to(weight.dtype), bias, gelu=gelu)
        self._bytes = rounded.to(torch.int8)
        self._scale = scale[:, 0].to(weight.dtype)
        self._bias = bias
        self._gelu = gelu

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        if len(rows) > _FEW_ROWS:
            return self._many(x)
        y = torch._weight_int8pack_mm(rows, self._bytes, self._scale)  # noqa: SLF001 -- no public form
        if self._bias is not None:
            y += self._bias
        return (F.gelu(y) if self._gelu else y).view(*x.shape[:-1], -1)

    def prepare(self, rows: int) -> None:
        """Compile the product for a number of rows; GELU is compiled for few rows too."""
        self(self._scale.new_zeros(rows, self._bytes.shape[1]))


Product: TypeAlias = Linear | ByteLinear | QuantizedLinear


def _can_pack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 -- as above
    )


class Norm:
    """Layer normalisation over the last dimension, computed in fp32 for every dtype."""

    __slots__ = ("_bias", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias)


class Parameters:
    """Builds layers on one device in one dtype from a checkpoint's tensors (OpenAI's names)."""

    def __init__(
        self,
        state: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        layer: type[Product] = Linear,
    ) -> None:
        self._state = state
        self.device = device
        self.dtype = dtype
        self.layer = layer

    def tensor(self, name: str) -> Tensor:
        return self._state[name].to(self.device, self.dtype)

    def norm(self, name: str) -> Norm:
        return Norm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def linear(self, *names: str) -> Product:
        """Return one product of several maps of the same input, their outputs concatenated."""
        return self.layer(*self._map(names))

    def normed(self, norm: str, *names: str, gelu: bool = False) -> tuple[Norm, Product]:
        """Return a layer norm, and the product that has its output as the input."""
        weight, bias = self._map(names)
        scale, shift = self.tensor(f"{norm}.weight"), self.tensor(f"{norm}.bias")
        if self.layer is QuantizedLinear:
            scale, shift, weight = balanced(scale, shift, weight)
        return Norm(scale, shift), self.layer(weight, bias, gelu=gelu)

    def after_gelu(self, name: str) -> Product:
        """Return the product whose input went through GELU."""
        weight, bias = self._map([name])
        if self.layer is QuantizedLinear:
            return QuantizedLinear(weight, bias, after_gelu=True)
        return self.layer(weight, bias)

    def _map(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        weight = torch.cat([self.tensor(f"{name}.weight") for name in names])
        return weight, torch.cat([self._bias(name) for name in names])

    def vocabulary(self, embedding: Tensor) -> Product:
        """Return the map to the logits of all tokens, in int8 where that is faster.

        It suffices to find the likeliest tokens, whose logits `Decoder.logits` computes again.
        """
        if self.layer is QuantizedLinear:
            return QuantizedLinear(embedding, None)
        return (ByteLinear if _can_pack(embedding) else Linear)(embedding, None)

    def convolution(self, name: str) -> Linear:
        """Return a convolution of width 3 as a linear map of three concatenated neighbours."""
        weight = self.tensor(f"{name}.weight").transpose(1, 2).flatten(1).contiguous()
        return Linear(weight, self._bias(name), gelu=True)

    def _bias(self, name: str) -> Tensor:
        if f"{name}.bias" in self._state:
            return self.tensor(f"{name}.bias")
        rows = len(self._state[f"{name}.weight"])  # the projections of keys have no bias
        return torch.zeros(rows, device=self.device, dtype=self.dtype)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Split [B, T, parts * D] into `parts` views [B, heads, T, D / heads]."""
    return x.view(*x.shape[:-1], parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attend from [B, H, S, d] to [B, H, T, d] with `bias` added to scores; -> [B, S, H * d]."""
    return F.scaled_dot_product_attention(query, key, value, bias).transpose(1, 2).flatten(2)
