from __future__ import annotations

import numpy as np
import pytest
import torch
from whisper import log_mel_spectrogram, pad_or_trim

from consumer.core.audio.gain import levelled
from consumer.core.audio.samples import to_float
from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.capacity import CONTEXT
from consumer.inference.fold import MAX_SAMPLES, folded, stack
from consumer.inference.mel import LogMel, amplitudes, levelled_rows, padded

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


@pytest.mark.parametrize("loudness", [0, 3, 300, 3_000, 20_000])
@pytest.mark.parametrize("offset", [0, 500])
def test_rows_are_levelled_on_a_device_as_each_clip_is_on_the_host(loudness: int, offset: int):
    random = np.random.default_rng(loudness)
    clips = [
        random.normal(offset, loudness, samples).clip(-32_768, 32_767).astype(np.int16)
        for samples in (1, 400, 16_000, 60_001)
    ]
    lengths = torch.tensor([len(clip) for clip in clips])
    rows = levelled_rows(padded(clips, 70_000), lengths)
    for row, clip in zip(rows, clips, strict=True):
        np.testing.assert_allclose(row[: len(clip)], amplitudes(clip), rtol=1e-4, atol=1e-6)
        assert not row[len(clip) :].any()


def test_recorded_samples_are_levelled_and_others_are_taken_as_they_are():
    recorded = (1_000 * noise(16_000, 1.0)).clip(-32_768, 32_767).astype(np.int16)
    amplified = levelled(to_float(recorded))
    np.testing.assert_array_equal(amplitudes(recorded), amplified)
    assert amplitudes(amplified) is amplified
    mel = LogMel(80, torch.device("cpu"))
    torch.testing.assert_close(mel([recorded], 100), mel([amplified], 100), rtol=0, atol=0)
    mixed = mel([recorded, amplified], 100)
    torch.testing.assert_close(mixed[0], mixed[1], rtol=0, atol=0)
