"""Weights small enough to be carried: each row in a few bits, deflated. For tests of one machine.

A text differs now and then from that of the weights themselves, but not between two devices.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch

from consumer.inference.checkpoint import Checkpoint
from consumer.inference.layouts import dimensions

_LEVELS: Final = 31  # on each side of 0, in int8: about 5 bits once deflated
_SCALE: Final = "scale of "
_DIMS: Final = "dims"


def pack(checkpoint: Checkpoint, file: Path) -> None:
    """Write the weights: matrices as int8 with the scale of each row, all else as fp16."""
    dims = asdict(checkpoint.dims)
    arrays = {_DIMS: np.array([*dims.items()])}
    for name, tensor in checkpoint.state.items():
        if tensor.dim() < 2 or "positional" in name:
            arrays[name] = tensor.half().numpy()
            continue
        rows = tensor.float().flatten(1)
        scale = (rows.abs().amax(1, keepdim=True) / _LEVELS).clamp_(min=torch.finfo().tiny)
        arrays[name] = (rows / scale).round_().to(torch.int8).view(tensor.shape).numpy()
        arrays[_SCALE + name] = scale.numpy()
    np.savez_compressed(file, allow_pickle=False, **arrays)


def unpack(file: Path, out: Path) -> None:
    """Write packed weights as a checkpoint in OpenAI's format."""
    with np.load(file) as arrays:
        dims = {name: int(value) for name, value in arrays[_DIMS]}
        state = {}
        for name in arrays.files:
            if name == _DIMS or name.startswith(_SCALE):
                continue
            tensor = torch.from_numpy(arrays[name])
            if tensor.dtype is torch.int8:
                scale = torch.from_numpy(arrays[_SCALE + name])
                tensor = (tensor.flatten(1) * scale).view(tensor.shape).half()
            state[name] = tensor
    torch.save({"dims": asdict(dimensions(dims)), "model_state_dict": state}, out)
