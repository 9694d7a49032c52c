"""Products with int8 weights and inputs, for processors without bf16 products.

FBGEMM multiplies bytes with AVX2, AVX-512 or VNNI instructions (docs/decisions/0024 has the times).
The scales are per output of a weight, and per row of an input, so the result of a row does not
depend on the batch that it is in.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor

_ENGINE: Final = "fbgemm"
_PRODUCT: Final = "linear_with_input_q_dq_qweight_dq_output_fp32"


class _Range(NamedTuple):
    """The bytes that inputs are rounded to, which are unsigned."""

    levels: int  # of the peak above zero
    zero_point: int
    least_peak: float


# Levels on each side of zero. Instructions older than VNNI add two products of an 8-bit input in 16
# bits, so weights have 7 bits: 2 * 255 * 63 < 2**15.
_WEIGHT_LEVELS: Final = 63
_SIGNED: Final = _Range(levels=127, zero_point=128, least_peak=0.0)
# GELU is at least -0.17: with a peak of 1.7, that is 23 of 229 levels.
_AFTER_GELU: Final = _Range(levels=229, zero_point=25, least_peak=1.7)
_NORM_PEAK: Final = 3.0  # standard deviations that a normalised input reaches
# Measured products, [rows, in, out]: a step of the decoder, and a block of the encoder.
_MEASURED: Final = ((8, 512, 8192), (512, 512, 2048))
_ROUNDS: Final = 5


class QuantizedLinear:
    """x [..., in] -> x W^T + b [..., out] in fp32, computed in int8.

    `gelu`: the result goes through GELU; `after_gelu`: the input has.
    """

    __slots__ = ("_bias", "_gelu", "_packed", "_range")

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        gelu: bool = False,
        after_gelu: bool = False,
    ) -> None:
        self._packed = _packed(weight)
        self._bias = bias
        self._gelu = gelu
        self._range = _AFTER_GELU if after_gelu else _SIGNED

    def __call__(self, x: Tensor) -> Tensor:
        levels, zero_point, least_peak = self._range
        peak = _peak(x).clamp_(min=least_peak)
        y: Tensor = getattr(torch.ops.quantized, _PRODUCT)(
            x / peak, 1 / levels, zero_point, self._packed
        )
        if self._bias is None:
            y *= peak
        else:
            torch.addcmul(self._bias, y, peak, out=y)
        return F.gelu(y) if self._gelu else y

    def prepare(self, rows: int) -> None:
        """Do nothing: no product is compiled."""


def balanced(
    norm_weight: Tensor, norm_bias: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer norm and the weight [out, in] after it, with inputs of similar magnitudes.

    Their product is the same. The few inputs that are much larger than the others would otherwise
    decide the scale of all (SmoothQuant, Xiao et al. 2023, with the norm in place of calibration).
    """
    inputs = norm_weight.abs() * _NORM_PEAK + norm_bias.abs()
    outputs = weight.abs().amax(0)
    least = torch.finfo(weight.dtype).tiny
    scale = (inputs.clamp(min=least) / outputs.clamp(min=least)).sqrt_()
    return norm_weight / scale, norm_bias / scale, weight * scale


def is_supported() -> bool:
    """Return whether this torch and processor have the product."""
    engines = torch.backends.quantized.supported_engines
    return _ENGINE in engines and hasattr(torch.ops.quantized, _PRODUCT)


def speedup() -> float:
    """Return how many times as fast as fp32 the products are, at least; 0.0: not supported.

    It takes some 100 ms.
    """
    if not is_supported():
        return 0.0
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so that the times are those of this thread
    try:
        return min(_speedup(*sizes) for sizes in _MEASURED)
    finally:
        torch.set_num_threads(threads)


def _speedup(rows: int, inputs: int, outputs: int) -> float:
    x, weight, bias = torch.rand(rows, inputs), torch.rand(outputs, inputs), torch.zeros(outputs)
    quantized = QuantizedLinear(weight, bias)
    return _seconds(F.linear, x, weight, bias) / _seconds(quantized, x)


def _seconds(product: Callable[..., Tensor], *inputs: Tensor) -> float:
    """Return the shortest CPU time of several: others may use the processor, too."""
    times = []
    for _ in range(_ROUNDS):
        begin = time.thread_time()
        product(*inputs)
        times.append(time.thread_time() - begin)
    return min(times)


def _peak(x: Tensor) -> Tensor:
    """Return the largest magnitude of each row, [..., 1]; torch's norm takes five times as long."""
    largest = torch.maximum(x.amax(-1, keepdim=True), x.amin(-1, keepdim=True).neg_())
    return largest.clamp_(min=torch.finfo(x.dtype).tiny)


def _packed(weight: Tensor) -> torch.ScriptObject:
    """Return the weight [out, in] in FBGEMM's layout, with a scale for each output."""
    scales = weight.abs().amax(1).clamp_(min=torch.finfo(weight.dtype).tiny) / _WEIGHT_LEVELS
    zeros = torch.zeros(len(weight), dtype=torch.long)
    torch.backends.quantized.engine = _ENGINE
    with warnings.catch_warnings():  # torch deprecates such tensors, but packs no other ones
        warnings.simplefilter("ignore", UserWarning)
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(quantized, None)
    return packed
