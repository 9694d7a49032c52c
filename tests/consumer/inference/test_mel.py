from __future__ import annotations

import numpy as np
import pytest
import torch
from whisper import log_mel_spectrogram, pad_or_trim

from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.capacity import CONTEXT
from consumer.inference.fold import MAX_SAMPLES, folded, stack
from consumer.inference.mel import LogMel

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = (1, 159, 8_000, 64_123, 470_000, MAX_SAMPLES)


def noise(samples: int, loudness: float) -> Float32Array:
    random = np.random.default_rng(samples)
    return (loudness * random.standard_normal(samples)).astype(np.float32)


def expected(clip: Float32Array) -> torch.Tensor:
    return log_mel_spectrogram(pad_or_trim(clip)).T


@pytest.mark.parametrize("n_mels", [80, 128])
def test_each_clip_of_a_batch_equals_openai_whisper(n_mels: int):
    clips = [noise(n, 10.0 ** -(i % 4)) for i, n in enumerate(LENGTHS)]
    frames = LogMel(n_mels, torch.device("cpu"))(clips, CONTEXT)
    for clip, got in zip(clips, frames, strict=True):
        want = log_mel_spectrogram(pad_or_trim(clip), n_mels).T
        torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_short_spectrogram_is_the_beginning_of_the_padded_one(samples: int):
    clip = noise(samples, 0.1)
    positions = stack([folded(samples)]).stem
    (short,) = LogMel(80, torch.device("cpu"))([clip], positions)
    assert len(short) == 2 * positions
    torch.testing.assert_close(short, expected(clip)[: 2 * positions], rtol=0, atol=1e-4)


def test_the_floor_depends_on_the_maximum_of_each_clip():
    loud, faint = noise(16_000, 0.5), noise(16_000, 1e-4)
    mel = LogMel(80, torch.device("cpu"))
    torch.testing.assert_close(mel([loud, faint], 100)[1], mel([faint], 100)[0])
