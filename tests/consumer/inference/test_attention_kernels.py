from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend

from consumer.inference.attention_kernels import CANDIDATES, SAFE, KernelTiming, fastest, measured

CUDNN = SDPBackend.CUDNN_ATTENTION


@pytest.mark.parametrize(
    ("cudnn", "chosen"),
    [
        (KernelTiming(first_ms=2.0, later_ms=0.5), CUDNN),
        (KernelTiming(first_ms=80.0, later_ms=0.5), SAFE),  # a plan for each shape takes too long
        (KernelTiming(first_ms=2.0, later_ms=0.95), SAFE),
        (KernelTiming(first_ms=2.0, later_ms=1.5), SAFE),
    ],
)
def test_another_kernel_is_chosen_if_it_is_faster_and_quick_at_new_shapes(
    cudnn: KernelTiming, chosen: SDPBackend
):
    assert fastest({SAFE: KernelTiming(1.0, 1.0), CUDNN: cudnn}) is chosen


@pytest.mark.parametrize("kernel", CANDIDATES)
def test_what_was_not_measured_is_not_compared(kernel: SDPBackend):
    assert fastest({kernel: KernelTiming(1.0, 1.0)}) is SAFE
    assert fastest({}) is SAFE


def test_the_first_call_of_a_length_is_timed_apart_after_one_of_another_length():
    calls: list[int] = []
    durations = iter([9.0, 1.0, 3.0, 2.0, 1.0, 8.0])

    def attention(length: int) -> Callable[[], object]:
        if len(calls) > 6:
            raise RuntimeError("No available kernel. Aborting execution.")
        return lambda: calls.append(length)

    def clock(work: Callable[[], object]) -> float:
        work()
        return next(durations)

    assert measured(attention, clock) == {SAFE: KernelTiming(9.0, 2.0)}
    assert calls == [160, *[320] * 6]


def test_a_device_without_memory_is_no_missing_kernel():
    def attention(_: int) -> Callable[[], object]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        measured(attention)
