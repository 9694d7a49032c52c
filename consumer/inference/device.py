"""Choose the device and dtype of the model, and classify the device's errors."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from consumer.core.scheduling.capacity import BatchLimits
from consumer.errors import ConfigError, DeviceLost, OutOfMemory, SttError
from consumer.inference import quantized

NO_CUDA_BUILD: Final = "this torch is built without CUDA"
NO_CUDA_DEVICE: Final = "torch finds no usable CUDA device"
OLD_DRIVER: Final = "the NVIDIA driver supports CUDA {driver}, and this torch needs CUDA {torch}"
OLD_DRIVER_ADVICE: Final = (
    "update the driver, use the image for CUDA 12 (TORCH=cuda12), or device cpu"
)
NO_CUDA_ADVICE: Final = (
    "install a torch with CUDA, check `nvidia-smi`, CUDA_VISIBLE_DEVICES and the container's GPU "
    "reservation, or use device cpu"
)
OUT_OF_MEMORY: Final = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "can't allocate memory",  # of the CPU
)
BROKEN: Final = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error")
LIMITS: Final = {"cpu": BatchLimits(16, 8192), "cuda": BatchLimits(64, 32_768)}
_FASTER: Final = 1.2  # int8 products are chosen if they are so many times as fast


class RequestedDevice(StrEnum):
    AUTO = "auto"
    CUDA = "cuda"
    CPU = "cpu"


class RequestedDtype(StrEnum):
    AUTO = "auto"
    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"
    INT8 = "int8"  # all products; with bf16 products, the decoder's weights


Requested = TypeVar("Requested", RequestedDevice, RequestedDtype)

DTYPES: Final = {
    RequestedDtype.FP16: torch.float16,
    RequestedDtype.BF16: torch.bfloat16,
    RequestedDtype.FP32: torch.float32,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """The hardware to choose from."""

    gpu: str | None  # name of the first usable CUDA device
    gpu_bf16: bool  # whether the GPU multiplies bf16 in hardware
    no_gpu: str  # why there is no GPU; empty if there is one
    cpu: str  # model name
    cpu_bf16: str | None  # the instruction set that multiplies bf16 in hardware; None: no such
    old_driver: str = ""  # what the NVIDIA driver lacks for this torch; empty: nothing
    cpu_int8: float = 0.0  # how many times as fast as fp32 int8 products are; 0: unsupported


@dataclass(frozen=True, slots=True)
class Device:
    """The device and dtype of a model."""

    device: torch.device
    dtype: torch.dtype
    name: str  # of the hardware
    reason: str  # why this device and dtype were chosen
    int8: bool = False  # whether products are int8: all, or with bf16 the decoder's weights
    unused_gpu: str = ""  # why a GPU of this machine is not used; empty: there is none

    @property
    def default_model(self) -> str:
        """The largest model that transcribes live speech in real time on this device."""
        return "turbo" if self.device.type == "cuda" else "base"

    @property
    def limits(self) -> BatchLimits:
        """The usual limits of a batch: larger ones are hardly faster, or take too long."""
        return LIMITS[self.device.type]

    @property
    def numbers(self) -> str:
        """The dtypes of the computation, for logs and events."""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{dtype}+int8" if self.int8 else dtype

    def describe(self) -> str:
        return f"{self.device.type} ({self.name}), {self.numbers}: {self.reason}"


def choose(device: str = "auto", dtype: str = "auto") -> Device:
    """Choose the device and dtype on this machine.

    Raises `ConfigError` for unknown values and for what the machine cannot do.
    """
    requested = _requested(RequestedDevice, "device", device)
    return decide(requested, _requested(RequestedDtype, "dtype", dtype), inspect(requested))


def _requested(kind: type[Requested], name: str, value: str) -> Requested:
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f"{name} {value}: use one of {', '.join(kind)}") from None


def decide(device: RequestedDevice, dtype: RequestedDtype, machine: Machine) -> Device:
    """Choose the device and dtype on a described machine, as `choose` does."""
    if device is RequestedDevice.CUDA and machine.gpu is None:
        if machine.old_driver:
            raise ConfigError(f"device cuda: {machine.old_driver}; {OLD_DRIVER_ADVICE}")
        raise ConfigError(f"device cuda: {machine.no_gpu}; {NO_CUDA_ADVICE}")
    if device is not RequestedDevice.CPU and machine.gpu is not None:
        chosen, reason = _gpu_dtype(dtype, machine)
        return Device(torch.device("cuda", 0), chosen, machine.gpu, reason)
    chosen, int8, reason = _cpu_dtype(dtype, machine)
    is_requested = device is RequestedDevice.CPU
    where = "cpu requested" if is_requested else machine.old_driver or machine.no_gpu
    unused = "" if is_requested else machine.old_driver
    return Device(torch.device("cpu"), chosen, machine.cpu, f"{where}; {reason}", int8, unused)


def _gpu_dtype(requested: RequestedDtype, machine: Machine) -> tuple[torch.dtype, str]:
    """Return the dtype on the GPU, and why."""
    if requested is RequestedDtype.BF16 and not machine.gpu_bf16:
        raise ConfigError(f"dtype bf16: {machine.gpu} does not support it; use fp16")
    if requested is RequestedDtype.INT8:
        raise ConfigError("dtype int8: for CPUs only; use fp16 or auto, or device cpu")
    if requested is RequestedDtype.AUTO:
        return torch.float16, "CUDA found; the weights are fp16"
    return DTYPES[requested], f"{requested} requested"


def _cpu_dtype(requested: RequestedDtype, machine: Machine) -> tuple[torch.dtype, bool, str]:
    """Return the dtype on the CPU, whether products are int8, and why."""
    if requested is RequestedDtype.FP16:
        raise ConfigError("dtype fp16: slower than fp32 on a CPU; use bf16, fp32 or auto")
    if requested is RequestedDtype.BF16 and machine.cpu_bf16 is None:
        raise ConfigError(
            f"dtype bf16: {machine.cpu} has neither avx512_bf16 nor amx, so it would be slower "
            "than fp32; use fp32 or auto"
        )
    if requested in DTYPES:
        return DTYPES[requested], False, f"{requested} requested"
    is_int8 = requested is RequestedDtype.INT8
    if machine.cpu_bf16:
        return torch.bfloat16, is_int8, f"the CPU has {machine.cpu_bf16}"
    times = f"int8 products are {machine.cpu_int8:.1f} times as fast as fp32 here"
    if is_int8 and not machine.cpu_int8:
        raise ConfigError(f"dtype int8: torch has no int8 products for {machine.cpu}; use fp32")
    if is_int8 or machine.cpu_int8 >= _FASTER:
        return torch.float32, True, times
    return torch.float32, False, f"the CPU has neither avx512_bf16 nor amx, and {times}"


def old_driver(torch_cuda: str | None, driver_cuda: tuple[int, int] | None) -> str:
    """Return what the driver (None: there is none) lacks for a torch of a CUDA version, or "".

    A driver serves all minor versions of its own major version, and those before it.
    """
    if torch_cuda is None or driver_cuda is None:
        return ""
    if driver_cuda[0] >= int(torch_cuda.partition(".")[0]):
        return ""
    return OLD_DRIVER.format(driver="{}.{}".format(*driver_cuda), torch=torch_cuda)


def driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that the NVIDIA driver supports; None: there is no driver."""
    version = ctypes.c_int(0)
    try:
        failed = ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    return None if failed else (version.value // 1000, version.value % 1000 // 10)


def inspect(requested: RequestedDevice = RequestedDevice.AUTO) -> Machine:
    """Describe this machine, and measure int8 products where the CPU may have to compute.

    It loads the CUDA driver, so it must not run at import.
    """
    with warnings.catch_warnings():  # `no_gpu` has the reason, in one line
        warnings.simplefilter("ignore")
        found = torch.cuda.is_available()
    is_on_cpu = requested is RequestedDevice.CPU or not found
    return Machine(
        gpu=torch.cuda.get_device_name(0) if found else None,
        gpu_bf16=found and torch.cuda.is_bf16_supported(including_emulation=False),
        no_gpu="" if found else NO_CUDA_DEVICE if torch.version.cuda else NO_CUDA_BUILD,
        old_driver="" if found else old_driver(torch.version.cuda, driver_cuda()),
        cpu=_cpu_name(),
        cpu_bf16=_cpu_bf16(),
        cpu_int8=quantized.speedup() if is_on_cpu and _cpu_bf16() is None else 0.0,
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _cpu_bf16() -> str | None:
    # torch.ops.mkldnn._is_mkldnn_bf16_supported() is true of CPUs that only emulate it.
    if torch.cpu._is_amx_tile_supported():  # noqa: SLF001 -- no public form
        return "amx"
    return "avx512_bf16" if torch.cpu._is_avx512_bf16_supported() else None  # noqa: SLF001 -- as above


def set_threads(count: int) -> None:
    """Set the threads of a matrix product, for threads that start afterwards and this one.

    torch's own default is the number of the host's cores, whatever a container's quota is.
    """
    torch.set_num_threads(count)


def usable_cores() -> int:
    """Return the cores of this process: its CPU affinity, or its container's quota if less."""
    affinity = len(os.sched_getaffinity(0))
    try:
        quota = _quota_cores(Path("/sys/fs/cgroup/cpu.max").read_text())
    except OSError:
        quota = None
    return min(affinity, quota or affinity)


def _quota_cores(cpu_max: str) -> int | None:
    """Return the cores of a cgroup v2 `cpu.max`, rounded up, or None without a limit."""
    quota, _, period = cpu_max.partition(" ")
    return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor of the host to a device, asynchronously on CUDA.

    Pinned memory makes that possible: a copy from pageable memory waits for all earlier work.
    """
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class DeviceStream:
    """A context in which an engine runs its work on a device.

    On CUDA it is a stream of its own, because graphs cannot be captured on the default one, and
    attention is limited to the one fast kernel that takes a bias: a slower one raises an error.
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
    """Translate device errors of torch to `OutOfMemory` or `DeviceLost`."""
    try:
        yield
    except RuntimeError as error:  # so are torch.OutOfMemoryError and torch.AcceleratorError
        if (known := classify(error)) is None:
            raise
        raise known from error


def classify(error: RuntimeError) -> SttError | None:
    """Return what a RuntimeError of torch means for the caller, or None if not about the device."""
    text = str(error)
    first_line = text.partition("\n")[0]  # the rest is debugging advice and stack traces
    if any(pattern in text for pattern in OUT_OF_MEMORY):
        return OutOfMemory(first_line)
    if any(pattern in text for pattern in BROKEN):
        return DeviceLost(first_line)
    return None
