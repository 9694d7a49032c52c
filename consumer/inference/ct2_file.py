"""Read the tensors of a CTranslate2 `model.bin`.

Little-endian, binary versions 5 and 6 (python/ctranslate2/specs/model_spec.py of CTranslate2):

    u32 version, str spec, u32 revision
    u32 count, count times: str name, u8 rank, rank times u32 size, u8 type, u32 bytes, data
    u32 count, count times: str alias, str name

where str is u16 length including a final zero byte. A tensor quantised to int8 (or int16) comes
with `<name>_scale`, the factor of each row (or of the whole tensor) by which it was multiplied.
"""

from __future__ import annotations

import io
import math
import os
import struct
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from consumer.inference.layouts import Malformed

VERSIONS: Final = (5, 6)
SPEC: Final = "WhisperSpec"
TYPES: Final = (
    torch.float32,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.float16,
    torch.bfloat16,
)
QUANTISED: Final = (torch.int8, torch.int16)
SCALE: Final = "_scale"
REPEAT: Final = "convert or download the model again"


def read(path: Path) -> dict[str, Tensor]:
    """Return all variables and aliases by name, quantised ones as fp32.

    Raises `Malformed`, `OSError`.
    """
    with path.open("rb") as file:
        reader = _Reader(file)
        version = reader.u32()
        if version not in VERSIONS:
            raise Malformed(
                f"binary version {version} is not 5 or 6: not a CTranslate2 model, or convert it "
                "again with ctranslate2 4"
            )
        if (spec := reader.string()) != SPEC:
            raise Malformed(f"a CTranslate2 model of kind {spec!r}; name one of kind {SPEC}")
        reader.u32()  # revision of the spec: names are checked one by one
        variables = dict(reader.variable() for _ in range(reader.u32()))
        aliases = [(reader.string(), reader.string()) for _ in range(reader.u32())]
    for alias, name in aliases:
        if name not in variables:
            raise Malformed(f"{alias} is an alias of {name}, which is missing; {REPEAT}")
    found = dequantised(variables)
    return found | {alias: found[name] for alias, name in aliases if name in found}


def dequantised(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the variables without scales, quantised tensors divided by theirs."""
    return {
        name: _divided(name, tensor, variables)
        if tensor.dtype in QUANTISED and tensor.dim()
        else tensor
        for name, tensor in variables.items()
        if not (name.endswith(SCALE) and name.removesuffix(SCALE) in variables)
    }


def _divided(name: str, tensor: Tensor, variables: dict[str, Tensor]) -> Tensor:
    scale = variables.get(name + SCALE)
    if scale is None or scale.shape not in ((), tensor.shape[:1]):
        raise Malformed(
            f"{name} is quantised, but its scale is missing or of another shape; {REPEAT}"
        )
    return tensor.float() / scale.float().reshape(-1, *[1] * (tensor.dim() - 1))


class _Reader:
    """Reads values sequentially, and never allocates more than the file holds."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._left = os.fstat(file.fileno()).st_size

    def u32(self) -> int:
        return self._number("<I")

    def string(self) -> str:
        try:
            return self._bytes(self._number("<H"))[:-1].decode()
        except UnicodeDecodeError:
            raise Malformed(f"a name is not UTF-8; {REPEAT}") from None

    def variable(self) -> tuple[str, Tensor]:
        name = self.string()
        sizes = [self.u32() for _ in range(self._number("<B"))]
        kind, length = self._number("<B"), self.u32()
        if kind >= len(TYPES):
            raise Malformed(f"{name} has type {kind}, which CTranslate2 does not have; {REPEAT}")
        dtype = TYPES[kind]
        if length == 0 or length != math.prod(sizes) * dtype.itemsize:
            raise Malformed(f"{name} has {length} bytes, not those of {sizes} {dtype}; {REPEAT}")
        return name, torch.frombuffer(self._bytes(length), dtype=dtype).reshape(sizes)

    def _number(self, code: str) -> int:
        (number,) = struct.unpack(code, self._bytes(struct.calcsize(code)))
        return int(number)

    def _bytes(self, length: int) -> bytearray:
        if length > self._left:
            raise Malformed(
                f"cut short: {length - self._left} bytes of the next value are missing; {REPEAT}"
            )
        self._left -= length
        piece = bytearray(length)
        self._file.readinto(piece)
        return piece
