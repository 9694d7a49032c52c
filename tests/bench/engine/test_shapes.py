from __future__ import annotations

import numpy as np
import pytest
import torch
from small_whisper import CPU, DIMS

from bench.engine.shapes import SHAPES, random_checkpoint
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import fallback_steps
from consumer.inference.checkpoint import OFFICIAL
from consumer.inference.layouts import check
from consumer.inference.whisper_engine import WhisperTranscriber

NAMES = {"turbo": "large-v3-turbo", "large-v3": "large"}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_that_of_openais_model(name: str):
    dims = SHAPES[name]
    layers = (dims.n_audio_layer, dims.n_text_layer, dims.n_text_head)
    assert OFFICIAL[layers] == NAMES.get(name, name)
    assert dims.n_audio_state == dims.n_text_state == 64 * dims.n_text_head
    assert (dims.n_mels, dims.n_vocab) in {(80, 51_865), (128, 51_866)}


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("tokens", [1, 7])
def test_texts_of_random_weights_have_the_length_asked_for(tokens: int, fold: bool):
    checkpoint = random_checkpoint("x", DIMS, tokens, torch.device("cpu"), torch.float32)
    check(checkpoint.state, DIMS)
    noise = np.random.default_rng(1).standard_normal((3, 16_000), np.float32)

    attempts = fallback_steps(fold=fold)[:1]
    engine = WhisperTranscriber(checkpoint, CPU, fold=fold, attempts=attempts)
    texts = engine.transcribe([DecodeRequest(one, ("en",)) for one in noise])
    assert [len(one.tokens) for one in texts] == [tokens] * 3
