"""Settings of torch's libraries and of malloc, to be applied before torch is loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, MutableMapping
from typing import Final

# GNU OpenMP's threads wait for each other by spinning, for 15 ms: beside one busy process two
# threads keep each other from running and are ten times as slow. Half a millisecond is longer than
# the gaps between products (a tenth of that is not, and costs a third of the speed).
# oneDNN compiles a product for each shape, about 1 MB each, and keeps 1024 by default. The model
# has about 250, and a cache of just that size evicts some of them.
SHARING: Final = {"GOMP_SPINCOUNT": "10000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512"}


def limit_spinning(environ: MutableMapping[str, str]) -> None:
    """Limit spinning and the cache of products, except for variables that the operator has set.

    Call it before torch is loaded.
    """
    for name, value in SHARING.items():
        environ.setdefault(name, value)


# Parameters of glibc's mallopt by the variable that an operator can set instead. By default glibc
# returns memory that a batch has freed to the system, and the next batch waits for new pages.
HELD: Final = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),  # bytes; glibc's maximum
    "MALLOC_TRIM_THRESHOLD_": (-1, 256 * 2**20),
}


def retain_memory(environ: Mapping[str, str]) -> None:
    """Keep freed memory in the process for the next batch. No effect without glibc."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is None:
        return
    for name, (parameter, value) in HELD.items():
        if name not in environ:
            mallopt(parameter, value)
