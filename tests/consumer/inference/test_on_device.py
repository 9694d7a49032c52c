"""Steps on a simulated GPU: torch's fake tensors have a device and no values.

They raise where a shape or a copy depends on a value, and where tensors are on different devices:
what would synchronise a step on a GPU, or prevent its capture, fails here.
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
from consumer.inference import clip_encoder, decode, mel, token_step
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.decode import BatchDecoder
from consumer.inference.fold import folded
from consumer.inference.graph_capture import DecodeStep
from consumer.inference.layers import Parameters
from consumer.inference.model import Decoder
from consumer.inference.token_step import DecodeRow
from consumer.inference.vocabulary import Vocabulary
from consumer.inference.workspace import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")

GPU = torch.device("cuda", 0)
CHECKPOINT = checkpoint_of(small_whisper())
CLIPS = [DecodeRequest(np.zeros(8_000 * length, np.float32), words=True) for length in (1, 3, 6)]
REQUESTS = [
    DecodeRow(prompt=range(length), seed=length, temperature=0.5 * (length == 5), align=20)
    for length in (4, 7, 5)
]


class EnoughError(Exception):
    """Ends the decode before the end flags are read, which synchronises."""


class OperationLog(TorchDispatchMode):
    """Lists the operations on tensors of any other device than the GPU."""

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
        values = tree_leaves((args, kwargs, answer))
        if any(isinstance(one, Tensor) and one.device != GPU for one in values):
            self.elsewhere.append(str(func))
        self.operations += 1
        return answer


class LoggingExecutor:
    """Logs the operations of the steps before the end flags are first read."""

    def __init__(self) -> None:
        self.log = OperationLog()
        self.count = 0

    def rows(self, count: int) -> int:
        return count

    def run(self, step: DecodeStep) -> None:
        with self.log:
            step()
        self.count += 1
        if self.count == 7:
            raise EnoughError


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module in (clip_encoder, decode, mel, token_step):  # pinning memory needs a GPU
        monkeypatch.setattr(module, "to_device", lambda tensor, device: tensor.to(device))
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_step_stays_on_the_device_and_does_not_synchronise(dtype: torch.dtype):
    workspace = Workspace(GPU, dtype)
    parameters = Parameters(CHECKPOINT.state, GPU, dtype)
    decoder = Decoder(parameters, DIMS, CHECKPOINT.alignment_heads)
    cache = ClipEncoder(parameters, DIMS, decoder, folded, workspace).encode(CLIPS, fold=True)
    steps = LoggingExecutor()
    vocabulary = Vocabulary(DIMS.n_vocab, DIMS.n_text_ctx)
    with pytest.raises(EnoughError):
        BatchDecoder(decoder, vocabulary, workspace, steps).decode(cache, REQUESTS)
    assert steps.log.operations > 100
    assert steps.log.elsewhere == []
