from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from ct2_writer import ct2_bytes, int8
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from consumer.inference.ct2_file import read
from consumer.inference.layouts import Malformed

VARIABLES = {
    "a/weight": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "a/flag": torch.tensor(3, dtype=torch.int8),
    "b/gamma": torch.tensor([1.5, -2], dtype=torch.bfloat16),
    "b/heads": torch.tensor(8, dtype=torch.int16),
}
FILE = ct2_bytes(VARIABLES, {"c/weight": "a/weight"})


def parsed(content: bytes) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(content)
        return read(path)


@pytest.mark.parametrize("version", [5, 6])
def test_variables_are_read_with_their_types(version: int):
    found = parsed(ct2_bytes(VARIABLES, {}, version=version))

    assert found.keys() == VARIABLES.keys()
    for name, tensor in VARIABLES.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_an_alias_is_the_same_tensor():
    found = parsed(FILE)

    assert found["c/weight"] is found["a/weight"]


def test_int8_is_divided_by_the_scale_of_its_row():
    weight = torch.randn(4, 5, 3)
    quantised, scale = int8(weight)

    found = parsed(ct2_bytes({"w": quantised, "w_scale": scale}, {}))

    assert found.keys() == {"w"}
    step = weight.flatten(1).abs().amax(1) / 127
    assert ((found["w"] - weight).flatten(1).abs().amax(1) <= step * 0.501).all()


def test_int16_is_divided_by_its_one_scale():
    variables = {
        "w": torch.tensor([[100, -50]], dtype=torch.int16),
        "w_scale": torch.tensor(50.0),
    }

    assert parsed(ct2_bytes(variables, {}))["w"].tolist() == [[2.0, -1.0]]


@pytest.mark.parametrize("scale", [{}, {"w_scale": torch.ones(3)}])
def test_a_scale_must_match_its_tensor(scale: dict[str, Tensor]):
    with pytest.raises(Malformed, match="w is quantised, but its scale"):
        parsed(ct2_bytes({"w": torch.ones(2, 2, dtype=torch.int8), **scale}, {}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ct2_bytes({}, {}, version=7), "binary version 7"),
        (b"PK\3\4 a zip archive", "not a CTranslate2 model"),
        (ct2_bytes({}, {}, spec="TransformerSpec"), "of kind 'TransformerSpec'"),
        (ct2_bytes({}, {"a": "b"}), "a is an alias of b, which is missing"),
        (ct2_bytes({"w": torch.ones(2)}, {}).replace(b"\0\x08\0\0\0", b"\x09\x08\0\0\0"), "type 9"),
        (ct2_bytes({"w": torch.ones(2)}, {}).replace(b"\0\x08\0\0\0", b"\0\x07\0\0\0"), "7 bytes"),
        (FILE.replace(b"a/flag", b"a/\xff\xfe\xfd\xfc"), "a name is not UTF-8"),
    ],
)
def test_the_error_names_the_problem(content: bytes, message: str):
    with pytest.raises(Malformed, match=message):
        parsed(content)


@given(st.integers(0, len(FILE) - 1))
def test_every_truncation_is_detected(length: int):
    with pytest.raises(Malformed, match="cut short"):
        parsed(FILE[:length])


@given(st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), max_size=8))
def test_a_damaged_file_is_rejected_or_read(flips: list[tuple[int, int]]):
    damaged = bytearray(FILE)
    for at, byte in flips:
        damaged[at] = byte
    try:
        found = parsed(bytes(damaged))
    except Malformed:
        return
    assert all(isinstance(tensor, Tensor) for tensor in found.values())
