"""Whisper's layers over plain tensors, and the checkpoint that they are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor

_FEW_ROWS = 4  # up to so many the weight-only product is faster
_EXACT_ROWS = 16  # up to so many a product of just these rows: a decoder's step
_ROW_STEPS = ((64, 32), (512, 64), (2048, 128), (math.inf, 256))  # multiples, up to so many rows
_LARGEST_BYTE = 127


def compiled_rows(rows: int) -> int:
    """The least number of rows that is not below this one and that products are compiled for.

    A processor compiles a bf16 product for every number of rows, which takes some milliseconds and
    for ever about 1 MB: so there are few. An encoder's are multiples of 64, so 2 % are added.
    """
    if rows <= _EXACT_ROWS:
        return rows
    step = next(step for limit, step in _ROW_STEPS if rows <= limit)
    return -(-rows // step) * step


def row_counts(most: int, step: int = 1) -> list[int]:
    """What products are compiled for, given all multiples of `step` up to so many rows."""
    return sorted({compiled_rows(rows) for rows in range(step, most + 1, step)})


def filled_up(x: Tensor) -> Tensor:
    """[rows, D] -> [compiled_rows(rows), D]; noughts behind."""
    spare = compiled_rows(len(x)) - len(x)
    return F.pad(x, (0, 0, 0, spare)) if spare else x


class Linear:
    """x [..., in] -> x W^T + b [..., out], optionally through GELU.

    On a processor with bf16 products the weight is laid out for oneDNN once, with GELU fused: two
    to three times faster at decoder sizes, and no large temporary between product and activation.
    Filling up the rows is a copy: a caller with many may do so once for several products.
    """

    __slots__ = ("_bias", "_gelu", "_packed", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> None:
        self._packed = _can_pack(weight)
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight) if self._packed else weight  # noqa: SLF001 -- what torch.compile's freezing calls; no public form
        self._bias = bias
        self._gelu = gelu

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            rows = x.shape[:-1].numel()
            if rows == compiled_rows(rows):
                return self._product(x)
            return self._product(filled_up(x.flatten(0, -2)))[:rows].view(*x.shape[:-1], -1)
        y = F.linear(x, self._weight, self._bias)
        return F.gelu(y) if self._gelu else y

    def prepare(self, rows: int) -> None:
        """Compile for so many rows, where anything is compiled."""
        if self._packed:
            self._product(torch.zeros(rows, self._weight.shape[1], dtype=self._weight.dtype))

    def _product(self, x: Tensor) -> Tensor:
        activation = "gelu" if self._gelu else "none"
        product: Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001 -- as above
            x, self._weight, self._bias, activation, [], "none"
        )
        return product


class ByteLinear:
    """A Linear whose weight is bytes, with a power of two for each output.

    A step of few texts waits for its weights to come from memory, and bytes come twice as fast.
    For more rows a Linear is faster; its weight is the same, as a byte times a power of two is a
    bf16. So a text does not hang on which of them wrote it more than on the size of its batch.
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
        """Compile for so many rows, where anything is compiled: GELU is, for few."""
        self(self._scale.new_zeros(rows, self._bytes.shape[1]))


def _can_pack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 -- as above
    )


class Norm:
    """Layer normalisation over the last dimension; inside in fp32 whatever the dtype."""

    __slots__ = ("_bias", "_weight")

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight = weight
        self._bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias)


class Parameters:
    """A checkpoint's tensors (OpenAI names), as layers on one device in one dtype."""

    def __init__(
        self,
        state: Mapping[str, Tensor],
        device: torch.device,
        dtype: torch.dtype,
        layer: type[Linear | ByteLinear] = Linear,
    ) -> None:
        self._state = state
        self.device = device
        self.dtype = dtype
        self.layer = layer

    def tensor(self, name: str) -> Tensor:
        return self._state[name].to(self.device, self.dtype)

    def norm(self, name: str) -> Norm:
        return Norm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def linear(self, *names: str, gelu: bool = False) -> Linear | ByteLinear:
        """One product for several maps of the same input: their outputs side by side."""
        weight = torch.cat([self.tensor(f"{name}.weight") for name in names])
        bias = torch.cat([self._bias(name) for name in names])
        return self.layer(weight, bias, gelu=gelu)

    def vocabulary(self, embedding: Tensor) -> Linear | ByteLinear:
        """Scores of all tokens, enough to find the likeliest: of bytes where that is faster."""
        return (ByteLinear if _can_pack(embedding) else Linear)(embedding, None)

    def convolution(self, name: str) -> Linear:
        """A convolution of width 3 as a linear map of three neighbours laid side by side."""
        weight = self.tensor(f"{name}.weight").transpose(1, 2).flatten(1).contiguous()
        return Linear(weight, self._bias(name), gelu=True)

    def _bias(self, name: str) -> Tensor:
        if f"{name}.bias" in self._state:
            return self.tensor(f"{name}.bias")
        rows = len(self._state[f"{name}.weight"])  # keys have none
        return torch.zeros(rows, device=self.device, dtype=self.dtype)


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """[B, T, parts * D] -> `parts` views [B, heads, T, D / heads]."""
    return x.view(*x.shape[:-1], parts, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of [B, H, S, d] over [B, H, T, d] with scores + bias -> [B, S, H * d]."""
    return F.scaled_dot_product_attention(query, key, value, bias).transpose(1, 2).flatten(2)
