from __future__ import annotations

import ctypes
import os
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch

from consumer.errors import ConfigError, DeviceLost, OutOfMemory
from consumer.inference import device
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
    driver_cuda,
    inspect,
    old_driver,
    set_threads,
    usable_cores,
)

GPU = Machine("RTX", gpu_bf16=True, no_gpu="", cpu="Xeon", cpu_bf16="amx")
OLD_GPU = Machine("V100", gpu_bf16=False, no_gpu="", cpu="Xeon", cpu_bf16=None)
CPU = Machine(None, gpu_bf16=False, no_gpu=NO_CUDA_BUILD, cpu="Xeon", cpu_bf16="amx")
OLD_CPU = Machine(None, gpu_bf16=False, no_gpu=NO_CUDA_BUILD, cpu="Core", cpu_bf16=None)
OLD_DRIVER = replace(OLD_CPU, old_driver="the NVIDIA driver supports CUDA 12.4, and torch 13.2")
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


@pytest.mark.parametrize(
    ("torch_cuda", "driver", "text"),
    [
        ("13.2", (12, 4), "the NVIDIA driver supports CUDA 12.4, and this torch needs CUDA 13.2"),
        ("13.2", (13, 0), ""),  # minor versions are compatible
        ("12.6", (13, 1), ""),
        ("13.2", None, ""),
        (None, (12, 4), ""),
    ],
)
def test_a_driver_of_an_older_major_version_is_too_old(
    torch_cuda: str | None, driver: tuple[int, int] | None, text: str
):
    assert old_driver(torch_cuda, driver) == text


def test_the_cpu_is_chosen_below_an_old_driver_and_the_gpu_is_named_as_unused():
    chosen = decide(RequestedDevice.AUTO, RequestedDtype.FP32, OLD_DRIVER)
    assert chosen.describe().startswith(f"cpu (Core), float32: {OLD_DRIVER.old_driver}; ")
    assert chosen.unused_gpu == OLD_DRIVER.old_driver
    assert not decide(RequestedDevice.CPU, RequestedDtype.FP32, OLD_DRIVER).unused_gpu
    with pytest.raises(ConfigError, match=r"device cuda: the NVIDIA driver.*TORCH=cuda12"):
        decide(RequestedDevice.CUDA, RequestedDtype.AUTO, OLD_DRIVER)


def test_the_warning_of_torch_about_an_old_driver_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    def is_available() -> bool:
        warnings.warn(
            "CUDA initialization: The NVIDIA driver on your system is too old", stacklevel=1
        )
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    monkeypatch.setattr(device, "driver_cuda", lambda: (12, 4))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    assert "supports CUDA 12.4" in inspect().old_driver


@pytest.mark.parametrize(("failed", "version"), [(0, (12, 8)), (35, None)])
def test_the_driver_states_its_version(
    failed: int, version: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
):
    class Driver:
        def __init__(self, name: str) -> None:
            assert name == "libcuda.so.1"

        def cuDriverGetVersion(self, into: Any) -> int:  # noqa: N802 -- the driver's own name
            into._obj.value = 12080
            return failed

    monkeypatch.setattr(ctypes, "CDLL", Driver)
    assert driver_cuda() == version


def test_without_a_driver_there_is_no_version(monkeypatch: pytest.MonkeyPatch):
    def missing(_: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert driver_cuda() is None


def test_the_limits_of_a_batch_depend_on_the_device():
    assert decide(RequestedDevice.AUTO, RequestedDtype.AUTO, GPU).limits.rows == 64
    assert decide(RequestedDevice.CPU, RequestedDtype.AUTO, GPU).limits.rows == 16


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
