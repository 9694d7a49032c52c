"""A Whisper model with random weights, small enough to run in milliseconds."""

from __future__ import annotations

import torch
from whisper.model import ModelDimensions, Whisper

from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device

CPU = Device(torch.device("cpu"), torch.float32, "processor", "for tests")
DIMS = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=32,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51_865,
    n_text_ctx=32,
    n_text_state=32,
    n_text_head=2,
    n_text_layer=2,
)


def small_whisper(seed: int = 0) -> Whisper:
    torch.manual_seed(seed)
    model = Whisper(DIMS).eval()
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return model


def checkpoint_of(model: Whisper, name: str = "small") -> Checkpoint:
    heads = tuple((layer, head) for layer, head in model.alignment_heads.indices().T.tolist())
    return Checkpoint(name, "0" * 64, model.dims, model.state_dict(), heads)
