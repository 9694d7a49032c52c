"""How torch and its libraries share the machine: set before they are loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, MutableMapping
from typing import Final

# A thread of a product waits for the others by spinning, GNU OpenMP's for 15 ms: beside one busy
# process two threads keep each other from running, and are ten times as slow. Half a millisecond
# outlasts the gaps between products (a tenth of that does not, and costs a third of the speed).
# Every shape of a product is compiled, which takes about 1 MB, and 1024 would be kept: the model
# has some 250, and a cache that just holds them throws some out.
SHARING: Final = {"GOMP_SPINCOUNT": "10000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512"}


def limit_spinning(environ: MutableMapping[str, str]) -> None:
    """Wait briefly and keep little; what the operator has set stays. Call it before torch loads."""
    for name, value in SHARING.items():
        environ.setdefault(name, value)


# Of glibc's malloc.h, by the variables that an operator may set instead. By itself it gives back
# what a batch has freed, now more and now less of it, and the next batch waits for it to come anew.
HELD: Final = {
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * 2**20),  # bytes; the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": (-1, 256 * 2**20),
}


def retain_memory(environ: Mapping[str, str]) -> None:
    """Keep what is freed for what comes next. Does nothing where the C library is not glibc."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is None:
        return
    for name, (parameter, value) in HELD.items():
        if name not in environ:
            mallopt(parameter, value)
