"""What torch's libraries take from the environment, and only while they are being loaded."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Final

# A thread of a product waits for the others by spinning, GNU OpenMP's for 15 ms: beside one busy
# process two threads keep each other from running, and are ten times as slow. Half a millisecond
# outlasts the gaps between products (a tenth of that does not, and costs a third of the speed).
# Every shape of a product is compiled, which takes about 1 MB, and 1024 would be kept: the model
# has some 250, and a cache that just holds them throws some out.
SHARING: Final = {"GOMP_SPINCOUNT": "10000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512"}


def share_the_machine(environ: MutableMapping[str, str]) -> None:
    """Wait briefly and keep little; what the operator has set stays. Call it before torch loads."""
    for name, value in SHARING.items():
        environ.setdefault(name, value)
