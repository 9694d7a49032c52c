"""Models of random weights, as fast as real ones of their shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from whisper.model import ModelDimensions

from consumer.inference.checkpoint import Checkpoint, usual_heads
from consumer.inference.layouts import shapes
from consumer.inference.vocabulary import Vocabulary

_AUDIO_CTX: Final = 1500
_TEXT_CTX: Final = 448
_HEAD_WIDTH: Final = 64  # in all sizes
_DEVIATION: Final = 0.02  # of the weights
_EMPHASIS: Final = 100.0  # norm of a positional embedding that demands the end of the text
SEED: Final = 80


def _shape(n_mels: int, n_vocab: int, state: int, audio: int, text: int) -> ModelDimensions:
    heads = state // _HEAD_WIDTH
    return ModelDimensions(
        n_mels, _AUDIO_CTX, state, heads, audio, n_vocab, _TEXT_CTX, state, heads, text
    )


SHAPES: Final[Mapping[str, ModelDimensions]] = {
    "tiny": _shape(80, 51_865, 384, 4, 4),
    "base": _shape(80, 51_865, 512, 6, 6),
    "turbo": _shape(128, 51_866, 1280, 32, 4),
    "large-v3": _shape(128, 51_866, 1280, 32, 32),
}


def random_checkpoint(
    name: str, dims: ModelDimensions, tokens: int, device: torch.device, dtype: torch.dtype
) -> Checkpoint:
    """Return random weights under which every text has `tokens` tokens.

    With random weights a text never ends by itself. Here the embedding of each position from
    `tokens` on is that of the end token, much larger than all else, so that the end comes next.
    """
    torch.manual_seed(SEED)
    state = {
        name: _initialised(name, torch.empty(shape, device=device, dtype=dtype))
        for name, shape in shapes(dims).items()
    }
    vocabulary = Vocabulary(dims.n_vocab, dims.n_text_ctx)
    end = state["decoder.token_embedding.weight"][vocabulary.end]
    last = vocabulary.start_length + tokens - 1
    state["decoder.positional_embedding"][last:] = _EMPHASIS * end / end.norm()
    return Checkpoint(name, "", dims, state, usual_heads(name, dims))


def _initialised(name: str, tensor: Tensor) -> Tensor:
    if name.endswith(("ln.weight", "ln_post.weight")):
        return tensor.fill_(1.0)
    if name.endswith("bias"):
        return tensor.zero_()
    return tensor.normal_(std=_DEVIATION)
