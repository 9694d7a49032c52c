from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from consumer.errors import ConfigError, DeviceLost, OutOfMemory
from consumer.inference.device import (
    NO_CUDA_BUILD,
    Machine,
    RequestedDevice,
    RequestedDtype,
    _quota_cores,
    choose,
    classify,
    decide,
    device_errors,
    set_threads,
    usable_cores,
)

GPU = Machine("RTX", gpu_bf16=True, no_gpu="", cpu="Xeon", cpu_bf16="amx")
OLD_GPU = Machine("V100", gpu_bf16=False, no_gpu="", cpu="Xeon", cpu_bf16=None)
CPU = Machine(None, gpu_bf16=False, no_gpu=NO_CUDA_BUILD, cpu="Xeon", cpu_bf16="amx")
OLD_CPU = Machine(None, gpu_bf16=False, no_gpu=NO_CUDA_BUILD, cpu="Core", cpu_bf16=None)
FAST_INT8 = replace(OLD_CPU, cpu_int8=1.8)
SLOW_INT8 = replace(OLD_CPU, cpu_int8=1.1)
NO_BF16 = "the CPU has neither avx512_bf16 nor amx"
TIMES = "int8 products are {} times as fast as fp32 here"


@pytest.mark.parametrize(
    ("machine", "device", "dtype", "text"),
    [
        (GPU, "auto", "auto", "cuda (RTX), float16: CUDA found; the weights are fp16"),
        (OLD_GPU, "cuda", "auto", "cuda (V100), float16: CUDA found; the weights are fp16"),
        (GPU, "auto", "bf16", "cuda (RTX), bfloat16: bf16 requested"),
        (GPU, "cpu", "auto", "cpu (Xeon), bfloat16: cpu requested; the CPU has amx"),
        (
            CPU,
            "auto",
            "auto",
            "cpu (Xeon), bfloat16: this torch is built without CUDA; the CPU has amx",
        ),
        (
            OLD_CPU,
            "cpu",
            "auto",
            f"cpu (Core), float32: cpu requested; {NO_BF16}, and {TIMES.format(0.0)}",
        ),
        (
            FAST_INT8,
            "cpu",
            "auto",
            f"cpu (Core), float32+int8: cpu requested; {TIMES.format(1.8)}",
        ),
        (
            SLOW_INT8,
            "cpu",
            "auto",
            f"cpu (Core), float32: cpu requested; {NO_BF16}, and {TIMES.format(1.1)}",
        ),
        (
            SLOW_INT8,
            "cpu",
            "int8",
            f"cpu (Core), float32+int8: cpu requested; {TIMES.format(1.1)}",
        ),
        (FAST_INT8, "cpu", "fp32", "cpu (Core), float32: cpu requested; fp32 requested"),
        (CPU, "cpu", "fp32", "cpu (Xeon), float32: cpu requested; fp32 requested"),
        (CPU, "cpu", "int8", "cpu (Xeon), bfloat16+int8: cpu requested; the CPU has amx"),
    ],
)
def test_the_choice_is_described_with_its_reason(
    machine: Machine, device: str, dtype: str, text: str
):
    assert decide(RequestedDevice(device), RequestedDtype(dtype), machine).describe() == text


@pytest.mark.parametrize(
    ("machine", "device", "dtype", "text"),
    [
        (CPU, "cuda", "auto", "device cuda: this torch is built without CUDA; install"),
        (OLD_GPU, "auto", "bf16", "dtype bf16: V100 does not support it; use fp16"),
        (GPU, "auto", "int8", "dtype int8: for CPUs only"),
        (OLD_CPU, "cpu", "int8", "dtype int8: torch has no int8 products for Core; use fp32"),
        (CPU, "auto", "fp16", "dtype fp16: slower than fp32 on a CPU"),
        (OLD_CPU, "auto", "bf16", "dtype bf16: Core has neither avx512_bf16 nor amx"),
    ],
)
def test_an_unsupported_device_or_dtype_is_rejected_with_advice(
    machine: Machine, device: str, dtype: str, text: str
):
    with pytest.raises(ConfigError) as caught:
        decide(RequestedDevice(device), RequestedDtype(dtype), machine)

    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("requested", "text"),
    [
        ({"device": "tpu"}, "device tpu: use one of auto, cuda, cpu"),
        ({"dtype": "int4"}, "dtype int4: use one of auto, fp16, bf16, fp32"),
    ],
)
def test_an_unknown_device_or_dtype_is_rejected(requested: dict[str, str], text: str):
    with pytest.raises(ConfigError, match=text):
        choose(**requested)


def test_the_default_model_depends_on_the_device():
    auto = (RequestedDevice.AUTO, RequestedDtype.AUTO)

    assert decide(*auto, GPU).default_model == "turbo"
    assert decide(*auto, OLD_CPU).default_model == "base"


def test_the_machine_multiplies_in_the_chosen_dtype():
    chosen = choose()
    x = torch.ones(2, 2, device=chosen.device, dtype=chosen.dtype)

    assert (x @ x).tolist() == [[2, 2], [2, 2]]
    assert chosen.name in chosen.describe()


def test_a_requested_cpu_is_chosen():
    assert choose("cpu", "fp32").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), OutOfMemory, "CUDA out of"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when"), OutOfMemory, "CUDA error"),
        (RuntimeError("CUDA error: out of memory\nCompile with"), OutOfMemory, "CUDA error"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfMemory, "Default"),
        (RuntimeError("CUDA error: device-side assert triggered\nx"), DeviceLost, "CUDA error"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceLost, "cuDNN"),
    ],
)
def test_device_errors_are_translated(error: RuntimeError, kind: type, text: str):
    with pytest.raises(kind, match=text) as caught, device_errors():
        raise error

    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


def test_other_errors_are_not_translated():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), device_errors():
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_an_impossible_allocation_is_out_of_memory():
    with pytest.raises(OutOfMemory), device_errors():
        torch.empty(1 << 60, dtype=torch.uint8)


def test_an_error_about_no_device_is_not_classified():
    assert classify(RuntimeError("expected scalar type Half")) is None


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [("max 100000", None), ("150000 100000\n", 2), ("10000 100000", 1), ("400000 100000", 4)],
)
def test_a_container_quota_is_rounded_up_to_cores(cpu_max: str, cores: int | None):
    assert _quota_cores(cpu_max) == cores


def test_usable_cores_are_at_most_those_of_the_machine():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        set_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        set_threads(before)
