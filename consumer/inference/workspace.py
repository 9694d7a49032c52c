"""Buffers that live as long as the engine: memory stays where the largest batch left it."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor


class Workspace:
    """Named buffers on one device, each as large as its largest use so far.

    What a buffer holds is left over from its last use, but always finite: attention multiplies
    what it masks by nought, and nought times a stray NaN would be NaN.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self._dtype = dtype
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        """The buffer of that name in that shape; any earlier view of it is overwritten.

        A name keeps its dtype: the workspace's own unless one is given.
        """
        size = prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.numel() < size:
            self._buffers.pop(name, None)  # first give back, then take
            # Not `zeros`: of that, a page would be ours only when it is first written to.
            buffer = torch.empty(size, device=self.device, dtype=dtype or self._dtype).zero_()
            self._buffers[name] = buffer
        return buffer[:size].view(shape)
