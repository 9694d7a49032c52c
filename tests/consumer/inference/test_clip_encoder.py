from __future__ import annotations

import numpy as np
import pytest
import torch
from small_whisper import CPU, DIMS, checkpoint_of, small_whisper

from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.clip_encoder import ClipEncoder
from consumer.inference.fold import folded
from consumer.inference.layers import Parameters
from consumer.inference.model import Decoder, DecoderCache
from consumer.inference.workspace import Workspace

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, POSITIONS = 4, 1200


def clip_encoder() -> ClipEncoder:
    checkpoint = checkpoint_of(small_whisper())
    parameters = Parameters(checkpoint.state, CPU.device, CPU.dtype)
    decoder = Decoder(parameters, DIMS, checkpoint.alignment_heads)
    workspace = Workspace(CPU.device, CPU.dtype)
    return ClipEncoder(parameters, DIMS, decoder, folded, workspace)


def clips(count: int, seconds: float) -> list[DecodeRequest]:
    return [DecodeRequest(np.zeros(round(seconds * WHISPER_RATE), np.float32), words=True)] * count


def addresses(cache: DecoderCache) -> list[int]:
    tensors = cache.own, cache.cross, cache.bias, cache.queries
    return [tensor.data_ptr() for tensor in tensors if tensor is not None]


@torch.inference_mode()
def test_reserved_buffers_serve_every_batch_within_the_bounds():
    encoder = clip_encoder()
    encoder.reserve((rows, POSITIONS // rows) for rows in range(1, ROWS + 1))
    made = [
        addresses(encoder.encode(clips(count, seconds), fold=True))
        for count, seconds in ((1, 0.5), (1, 20.0), (3, 6.0), (ROWS, 4.0))
    ]
    assert made == [made[0]] * len(made)


@torch.inference_mode()
def test_unused_rows_attend_to_finite_values_whatever_was_there_before():
    encoder = clip_encoder()
    encoder.encode(clips(4, 2.0), fold=True).cross.fill_(torch.inf)
    cache = encoder.encode(clips(2, 2.0), fold=True, rows=4)
    assert len(cache.cross) == len(cache.own) == 4
    assert not cache.cross[2:].any()
    assert not cache.bias[2:].any()
