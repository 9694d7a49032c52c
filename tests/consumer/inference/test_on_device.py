"""The steps of a GPU, without one: tensors that say they are there, and hold nothing.

A shape or a copy that hangs on a value cannot be had of them, nor can a product of tensors on
unlike devices: what would stop a step on a GPU, or keep it from being recorded, stops it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from small_whisper import DIMS, checkpoint_of, small_whisper
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference import clip_encoder, decode, mel
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.decode import BatchDecoder, DecodeRow
from consumer.inference.fold import folded
from consumer.inference.graph_capture import DecodeStep
from consumer.inference.layers import Parameters
from consumer.inference.model import Decoder
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.workspace import Workspace

GPU = torch.device("cuda", 0)
CHECKPOINT = checkpoint_of(small_whisper())
CLIPS = [DecodeRequest(np.zeros(8_000 * length, np.float32), words=True) for length in (1, 3, 6)]
REQUESTS = [
    DecodeRow(prompt=range(length), seed=length, temperature=0.5 * (length == 5), align=20)
    for length in (4, 7, 5)
]


class EnoughError(Exception):
    """Of the steps: the next thing is to wait for what they wrote."""


class Watch(TorchDispatchMode):
    """Notes the operations that see anything but the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []
        self.operations = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        seen = tree_leaves((args, kwargs, answer))
        if any(isinstance(one, Tensor) and one.device != GPU for one in seen):
            self.elsewhere.append(str(func))
        self.operations += 1
        return answer


class Watched:
    """Steps that are looked at, up to where the end flags are first read."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.count = 0

    def run(self, step: DecodeStep) -> None:
        with self.watch:
            step()
        self.count += 1
        if self.count == 7:
            raise EnoughError


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (clip_encoder, decode, mel):  # memory can only be pinned where there is a GPU
        monkeypatch.setattr(module, "to_device", lambda tensor, device: tensor.to(device))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.usefixtures("pretended")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_step_stays_on_the_device_and_waits_for_nothing(dtype: torch.dtype):
    workspace = Workspace(GPU, dtype)
    parameters = Parameters(CHECKPOINT.state, GPU, dtype)
    decoder = Decoder(parameters, DIMS, CHECKPOINT.alignment_heads)
    memory = ClipEncoder(parameters, DIMS, decoder, folded, workspace).encode(CLIPS, fold=True)
    steps = Watched()
    vocabulary = Vocabulary(DIMS.n_vocab, DIMS.n_text_ctx)
    with pytest.raises(EnoughError):
        BatchDecoder(decoder, vocabulary, workspace, steps).decode(memory, REQUESTS)
    assert steps.watch.operations > 100
    assert steps.watch.elsewhere == []
