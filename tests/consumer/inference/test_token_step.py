from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_whisper import CPU, DIMS, checkpoint_of, small_whisper

from consumer.inference.layers import Parameters
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.sampling import uniforms
from consumer.inference.token_step import (
    DecodeRow,
    Drawing,
    Text,
    TokenStep,
    kept_slots,
    tensors,
)
from consumer.inference.workspace import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, COLUMNS, LIMIT = 5, 32, 16


def numbered(*shape: int) -> torch.Tensor:
    """Return a tensor whose rows hold their own number."""
    return torch.arange(ROWS).float().view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()


def step(workspace: Workspace, *, temperature: float = 0.0) -> TokenStep:
    checkpoint = checkpoint_of(small_whisper())
    text = Text.begun(workspace, ROWS, COLUMNS, LIMIT)
    for tensor in tensors(text):
        tensor.copy_(numbered(*tensor.shape))
    return TokenStep(
        decoder=Decoder(Parameters(checkpoint.state, CPU.device, CPU.dtype), DIMS),
        cache=DecoderCache(
            own=numbered(ROWS, 2, 2, 2, COLUMNS, 4),
            cross=numbered(ROWS, 2, 2, 2, 8, 4),
            bias=numbered(ROWS, 1, 1, 8),
            queries=numbered(ROWS, 2, COLUMNS, 4),
        ),
        text=text,
        drawing=Drawing.begun(workspace, [DecodeRow([1], 0, temperature)] * ROWS, ROWS, LIMIT),
        column=torch.tensor([4]),
        count=torch.tensor([0]),
        mask=torch.zeros(DIMS.n_vocab),
        end=50_257,
    )


@given(st.lists(st.integers(0, 1), max_size=20))
def test_kept_rows_are_all_that_have_not_ended_and_few_move(ended: list[int]):
    slots = kept_slots(ended)
    assert sorted(slots) == [slot for slot, has_ended in enumerate(ended) if not has_ended]
    moved = [slot for row, slot in enumerate(slots) if slot != row]
    assert all(slot >= len(slots) for slot in moved)


def test_rows_that_are_kept_move_to_the_first_places_of_the_same_storage():
    begun = step(Workspace(CPU.device, CPU.dtype), temperature=0.5)
    kept = begun.kept(kept_slots([0, 1, 0, 1, 0]), used=10, rows=3)
    assert kept.text.token[:, 0].tolist() == [0, 4, 2]
    before = (*tensors(begun.cache), *tensors(begun.text), *tensors(begun.drawing))
    after = (*tensors(kept.cache), *tensors(kept.text), *tensors(kept.drawing))
    assert [each.data_ptr() for each in after] == [each.data_ptr() for each in before]
    assert {len(each) for each in after} == {3}
    for each in (kept.cache.cross, kept.cache.own[..., :10, :], kept.text.mask):
        assert each.flatten(1).amax(1).tolist() == each.flatten(1).amin(1).tolist() == [0, 4, 2]
    assert kept.cache.own[1, 0, 0, 0, 10, 0] == 1  # a column that was not written


def test_the_bucket_is_that_of_the_buffers_the_shapes_and_whether_rows_draw():
    workspace = Workspace(CPU.device, CPU.dtype)
    begun = step(workspace)
    assert replace(begun).bucket == begun.bucket
    others = [
        replace(begun, width=32),
        begun.kept([0, 1, 2], used=10, rows=3),
        replace(begun, drawing=step(workspace, temperature=0.5).drawing),
        replace(begun, text=step(Workspace(CPU.device, CPU.dtype)).text),
    ]
    assert len({each.bucket for each in (begun, *others)}) == 1 + len(others)


def test_random_numbers_are_those_of_the_seed_and_only_of_rows_that_draw():
    workspace = Workspace(CPU.device, CPU.dtype)
    greedy, drawn = DecodeRow([1], seed=3), DecodeRow([1], seed=7, temperature=0.4)
    assert Drawing.begun(workspace, [greedy, greedy], 2, LIMIT) is None
    drawing = Drawing.begun(workspace, [greedy, drawn, drawn], 4, LIMIT)
    assert drawing is not None
    assert drawing.temperature.flatten().tolist() == pytest.approx([0.0, 0.4, 0.4, 0.0])
    assert drawing.uniform[0].tolist() == [1.0] * LIMIT
    assert drawing.uniform[1].equal(uniforms(7, LIMIT))
    assert drawing.uniform[2].equal(uniforms(7, LIMIT))
