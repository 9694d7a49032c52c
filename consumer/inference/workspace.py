"""Buffers reused by all batches of an engine, so that memory stays at that of the largest batch."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor


class Workspace:
    """Named buffers on one device, each as large as its largest use so far.

    A buffer holds the values of its last use, which are finite: attention multiplies masked values
    by 0, and 0 times NaN would be NaN.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self._dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return the buffer of that name in that shape. It shares memory with earlier views.

        A name must always be used with the same dtype, by default the workspace's.
        """
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            self._buffers.pop(name, None)  # free the memory before allocating
            # Not `zeros`, of which the system allocates a page only at its first write.
            buffer = torch.empty(size, device=self.device, dtype=dtype or self._dtype).zero_()
            self._buffers[name] = buffer
        return buffer[:size].view(shape)
