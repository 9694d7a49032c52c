"""Choose the kernel of the encoder's attention on CUDA, by measuring.

Two kernels take the bias of a fold. The one of CUTLASS serves all shapes. cuDNN's may be faster,
but cuDNN builds a plan for each shape at its first use, and a service has new shapes all the time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

import structlog
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch.nn.attention import SDPBackend, sdpa_kernel

SAFE: Final = SDPBackend.EFFICIENT_ATTENTION
CANDIDATES: Final = (SAFE, SDPBackend.CUDNN_ATTENTION)
_MIN_GAIN: Final = 1.1  # times as fast as the safe kernel
_MAX_FIRST_MS: Final = 5.0  # of the first call of a shape: a batch may wait as long
_RUNS: Final = 5
_LENGTH: Final = 320  # positions of a clip of 4 s
_HEAD: Final = 64  # width of a head, in all sizes of Whisper

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KernelTiming:
    """The duration of attention by one kernel."""

    first_ms: float  # of the first call of a shape
    later_ms: float


def fastest(timings: Mapping[SDPBackend, KernelTiming]) -> SDPBackend:
    """Return the kernel to use: the safe one, unless another is faster and quick at new shapes."""
    safe = timings.get(SAFE)
    others = {name: timing for name, timing in timings.items() if name is not SAFE}
    if safe is None or not others:
        return SAFE
    name, best = min(others.items(), key=lambda one: one[1].later_ms)
    is_faster = safe.later_ms >= _MIN_GAIN * best.later_ms
    return name if is_faster and best.first_ms <= _MAX_FIRST_MS else SAFE


def choose(heads: int, positions: int, device: torch.device, dtype: torch.dtype) -> SDPBackend:
    """Return the kernel for encoder passes of `positions` positions, measured on the device."""
    rows = max(1, positions // _LENGTH)

    def attention(length: int) -> Callable[[], object]:
        shape = rows, length, 3, heads, _HEAD
        query, key, value = torch.zeros(shape, device=device, dtype=dtype).permute(2, 0, 3, 1, 4)
        bias = torch.zeros(rows, 1, 1, length, device=device, dtype=dtype)
        return lambda: F.scaled_dot_product_attention(query, key, value, bias)

    timings = measured(attention)
    chosen = fastest(timings)
    log.info(
        "attention kernel",
        chosen=chosen.name,
        first_ms={kernel.name: round(one.first_ms, 2) for kernel, one in timings.items()},
        later_ms={kernel.name: round(one.later_ms, 3) for kernel, one in timings.items()},
    )
    return chosen


def measured(
    attention: Callable[[int], Callable[[], object]],
    duration_ms: Callable[[Callable[[], object]], float] | None = None,
) -> dict[SDPBackend, KernelTiming]:
    """Time every kernel that this device and torch have, at one length of the audio.

    `attention` returns the call for a length. Another length comes first: it loads the kernel.
    """
    clock = duration_ms or device_ms
    found = {}
    for kernel in CANDIDATES:
        try:
            with sdpa_kernel(kernel), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch, why it has no such kernel
                attention(_LENGTH // 2)()
                call = attention(_LENGTH)
                first, *later = (clock(call) for _ in range(1 + _RUNS))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # this kernel does not exist here
            continue
        found[kernel] = KernelTiming(first, median(later))
    return found


def device_ms(work: Callable[[], object]) -> float:
    """Return how long the current CUDA stream takes for the work, its launch included."""
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.current_stream().synchronize()
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))
