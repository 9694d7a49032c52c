"""Write CTranslate2 model files as its converter does (python/ctranslate2/specs/model_spec.py)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import torch
from torch import Tensor
from whisper.model import ModelDimensions

from consumer.inference.layouts import place

TYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


def ct2_bytes(
    variables: Mapping[str, Tensor],
    aliases: Mapping[str, str],
    *,
    version: int = 6,
    spec: str = "WhisperSpec",
) -> bytes:
    parts = [struct.pack("<I", version), string(spec), struct.pack("<II", 3, len(variables))]
    for name, tensor in variables.items():
        data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        parts += [string(name), struct.pack(f"<B{tensor.dim()}I", tensor.dim(), *tensor.shape)]
        parts += [struct.pack("<BI", TYPES.index(tensor.dtype), len(data)), data]
    parts.append(struct.pack("<I", len(aliases)))
    parts += [string(alias) + string(name) for alias, name in aliases.items()]
    return b"".join(parts)


def string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def ct2_variables(state: Mapping[str, Tensor], dims: ModelDimensions) -> dict[str, Tensor]:
    """Return CTranslate2's variables for OpenAI's tensors.

    The bias of keys, which Whisper does not have, is zero.
    """
    blocks: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():
        at = place(name)
        blocks.setdefault(at.ctranslate2, [torch.zeros(0)] * at.parts)[at.part] = tensor
        if name.endswith(".value.bias"):
            blocks[at.ctranslate2][at.part - 1] = torch.zeros_like(tensor)
    heads = {"encoder": dims.n_audio_head, "decoder": dims.n_text_head}
    return {name: torch.cat(parts) for name, parts in blocks.items()} | {
        f"{side}/num_heads": torch.tensor(count, dtype=torch.int16) for side, count in heads.items()
    }


def int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a tensor quantised by rows, and its scale [rows]."""
    scale = 127 / weight.float().flatten(1).abs().amax(1)
    columns = [1] * (weight.dim() - 1)
    return (weight.float() * scale.reshape(-1, *columns)).round().to(torch.int8), scale
