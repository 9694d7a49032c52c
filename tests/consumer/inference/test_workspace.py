from __future__ import annotations

import torch

from consumer.inference.workspace import Workspace


def workspace() -> Workspace:
    return Workspace(torch.device("cpu"), torch.float32)


def test_a_smaller_buffer_reuses_the_memory_of_a_larger_one():
    space = workspace()
    large = space.buffer("own", 4, 100)
    small = space.buffer("own", 3, 7, 2)
    assert small.shape == (3, 7, 2)
    assert small.data_ptr() == large.data_ptr()


def test_buffers_of_different_names_are_separate():
    space = workspace()
    space.buffer("own", 8).fill_(1)
    assert space.buffer("cross", 8).sum() == 0


def test_a_new_buffer_is_finite():
    assert workspace().buffer("own", 1_000).isfinite().all()
