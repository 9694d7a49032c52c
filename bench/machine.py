"""The machine that figures were measured on."""

from __future__ import annotations

import platform
from typing import Any


def machine(dtype: str, threads: int) -> dict[str, Any]:
    """Return what figures depend on beside the code: processor, cores, versions, dtype."""
    import torch  # late, so that --help is quick

    from consumer.inference.device import inspect, usable_cores

    found = inspect()
    return {
        "processor": found.cpu,
        "bf16": found.cpu_bf16,
        "cores": usable_cores(),
        "gpu": found.gpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "dtype": dtype,
        "threads": threads,
    }
