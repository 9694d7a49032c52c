"""The device that does the work: which, in which dtype, and what its errors mean."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from consumer.errors import ConfigError, DeviceLost, OutOfMemory, SttError

NO_CUDA_BUILD: Final = "this torch is built without CUDA"
NO_CUDA_DEVICE: Final = "torch finds no usable CUDA device"
NO_CUDA_ADVICE: Final = (
    "install a torch with CUDA, look at `nvidia-smi`, at CUDA_VISIBLE_DEVICES and at the "
    "container's GPU reservation, or use device cpu"
)
OUT_OF_MEMORY: Final = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # of the CPU
)
BROKEN: Final = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error")


class RequestedDevice(StrEnum):
    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class RequestedDtype(StrEnum):
    AUTO = "auto"
    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"
    INT8 = "int8"  # the decoder's weights; the rest as with auto


Requested = TypeVar("Requested", RequestedDevice, RequestedDtype)

DTYPES: Final = {
    RequestedDtype.FP16: torch.float16,
    RequestedDtype.BF16: torch.bfloat16,
    RequestedDtype.FP32: torch.float32,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What can be chosen from."""

    gpu: str | None  # name of the first usable CUDA device
    gpu_bf16: bool
    no_gpu: str  # why there is none; empty if there is one
    cpu: str  # model name
    cpu_bf16: str | None  # the instructions that multiply bf16 in hardware; None: not there


@dataclass(frozen=True, slots=True)
class Device:
    """What was chosen."""

    device: torch.device
    dtype: torch.dtype
    name: str  # of the hardware
    reason: str  # why this device and dtype
    int8: bool = False  # whether the decoder's weights are bytes

    @property
    def default_model(self) -> str:
        """The largest model that keeps up with live speech here."""
        return "turbo" if self.device.type == "cuda" else "base"

    @property
    def numbers(self) -> str:
        """What the model is computed in, for people."""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{dtype}+int8" if self.int8 else dtype

    def describe(self) -> str:
        return f"{self.device.type} ({self.name}), {self.numbers}: {self.reason}"


def choose(device: str = "auto", dtype: str = "auto") -> Device:
    """The device and dtype to work with on this machine. Raises ConfigError for vain wishes."""
    return decide(
        _requested(RequestedDevice, "device", device),
        _requested(RequestedDtype, "dtype", dtype),
        inspect(),
    )


def _requested(kind: type[Requested], name: str, value: str) -> Requested:
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f"{name} {value}: not one of {', '.join(kind)}") from None


def decide(device: RequestedDevice, dtype: RequestedDtype, machine: Machine) -> Device:
    """As `choose`, on a described machine."""
    if device is RequestedDevice.CUDA and machine.gpu is None:
        raise ConfigError(f"device cuda: {machine.no_gpu}; {NO_CUDA_ADVICE}")
    if device is not RequestedDevice.CPU and machine.gpu is not None:
        chosen, why = _gpu_dtype(dtype, machine)
        return Device(torch.device("cuda", 0), chosen, machine.gpu, why)
    chosen, why = _cpu_dtype(dtype, machine)
    where = "asked for" if device is RequestedDevice.CPU else machine.no_gpu
    int8 = dtype is RequestedDtype.INT8
    return Device(torch.device("cpu"), chosen, machine.cpu, f"{where}; {why}", int8)


def _gpu_dtype(wish: RequestedDtype, machine: Machine) -> tuple[torch.dtype, str]:
    if wish is RequestedDtype.BF16 and not machine.gpu_bf16:
        raise ConfigError(f"dtype bf16: {machine.gpu} has no bf16; use fp16")
    if wish is RequestedDtype.INT8:
        raise ConfigError("dtype int8: of processors only; use fp16 or auto, or device cpu")
    if wish is RequestedDtype.AUTO:
        return torch.float16, "CUDA found; the weights are fp16"
    return DTYPES[wish], f"{wish} asked for"


def _cpu_dtype(wish: RequestedDtype, machine: Machine) -> tuple[torch.dtype, str]:
    if wish is RequestedDtype.FP16:
        raise ConfigError("dtype fp16: slower than fp32 on a processor; use bf16, fp32 or auto")
    if wish is RequestedDtype.BF16 and machine.cpu_bf16 is None:
        raise ConfigError(
            f"dtype bf16: {machine.cpu} has neither avx512_bf16 nor amx, so it would be slower "
            "than fp32; use fp32 or auto"
        )
    if wish in DTYPES:
        return DTYPES[wish], f"{wish} asked for"
    if machine.cpu_bf16:
        return torch.bfloat16, f"the processor has {machine.cpu_bf16}"
    return torch.float32, "the processor has neither avx512_bf16 nor amx"


def inspect() -> Machine:
    """Look at this machine; loads the CUDA driver, so never at import."""
    found = torch.cuda.is_available()
    return Machine(
        gpu=torch.cuda.get_device_name(0) if found else None,
        gpu_bf16=found and torch.cuda.is_bf16_supported(including_emulation=False),
        no_gpu="" if found else NO_CUDA_DEVICE if torch.version.cuda else NO_CUDA_BUILD,
        cpu=_cpu_name(),
        cpu_bf16=_cpu_bf16(),
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _cpu_bf16() -> str | None:
    # torch.ops.mkldnn._is_mkldnn_bf16_supported() says yes to processors that only emulate it.
    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001 -- torch has no public question for it
        return "amx"
    return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else None  # noqa: SLF001 -- as above


def set_threads(count: int) -> None:
    """Threads of one product; call it before the inference thread starts, which takes it over.

    torch's own default is the machine's cores: it knows nothing of a container's quota.
    """
    torch.set_num_threads(count)


def usable_cores() -> int:
    """Cores that this process may use: those it is bound to, or its container's quota if less."""
    bound = len(os.sched_getaffinity(0))
    try:
        quota = _quota_cores(Path("/sys/fs/cgroup/cpu.max").read_text())
    except OSError:
        quota = None
    return min(bound, quota or bound)


def _quota_cores(cpu_max: str) -> int | None:
    """Cores of a cgroup v2 `cpu.max`, rounded up; None: no limit."""
    quota, _, period = cpu_max.partition(" ")
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device, as of now; it may still be on its way there.

    From memory that the system may page out, a copy to a GPU would wait for all work before it.
    """
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class DeviceStream:
    """The one queue of a device that an engine's work goes through.

    On CUDA a stream of its own, as graphs are not recorded on the default one; and attention by
    the one kernel that takes a bias, or an error: another would be silently slower.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )

    @contextmanager
    def __call__(self) -> Iterator[None]:
        if self._stream is None:
            yield
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream), sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
            yield


@contextmanager
def device_errors() -> Iterator[None]:
    """Errors of torch leave as OutOfMemory or DeviceLost; all others as they are."""
    try:
        yield
    except RuntimeError as error:  # so are torch.OutOfMemoryError and torch.AcceleratorError
        if (known := classify(error)) is None:
            raise
        raise known from error


def classify(error: RuntimeError) -> SttError | None:
    """What a RuntimeError of torch means for the caller; None: nothing about the device."""
    told = str(error)
    gist = told.partition("\n")[0]  # the rest is advice on debugging and stack traces
    if any(mark in told for mark in OUT_OF_MEMORY):
        return OutOfMemory(gist)
    if any(mark in told for mark in BROKEN):
        return DeviceLost(gist)
    return None
