from __future__ import annotations

import numpy as np
import torch
from small_whisper import CPU, DIMS, checkpoint_of, small_whisper

from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.fold import folded
from consumer.inference.layers import Parameters
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.workspace import Workspace

ROWS, POSITIONS = 4, 1200


def listener() -> ClipEncoder:
    checkpoint = checkpoint_of(small_whisper())
    parameters = Parameters(checkpoint.state, CPU.device, CPU.dtype)
    decoder = Decoder(parameters, DIMS, checkpoint.alignment_heads)
    workspace = Workspace(CPU.device, CPU.dtype)
    return ClipEncoder(parameters, DIMS, decoder, folded, workspace)


def clips(count: int, seconds: float) -> list[DecodeRequest]:
    return [DecodeRequest(np.zeros(round(seconds * WHISPER_RATE), np.float32), words=True)] * count


def addresses(memory: DecoderCache) -> list[int]:
    tensors = memory.own, memory.cross, memory.bias, memory.queries
    return [tensor.data_ptr() for tensor in tensors if tensor is not None]


@torch.inference_mode()
def test_what_was_reserved_serves_every_batch_within_the_bounds():
    listen = listener()
    listen.reserve(ROWS, POSITIONS)
    made = [
        addresses(listen.encode(clips(count, seconds), fold=True))
        for count, seconds in ((1, 0.5), (1, 20.0), (3, 6.0), (ROWS, 4.0))
    ]
    assert made == [made[0]] * len(made)
