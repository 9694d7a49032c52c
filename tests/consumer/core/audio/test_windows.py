from __future__ import annotations

import numpy as np
import pytest

from consumer.core.audio.windows import resampling, window_start

RATES = [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000]


def taken(rate: int) -> int:
    return 4 * rate // 1000 + window_start(1, 32, rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_constant_signal_stays_constant_up_to_the_edges(rate: int):
    resampled = np.full(taken(rate), 0.5) @ resampling(taken(rate), rate, 32, 4)
    assert resampled.shape == (576,)
    assert np.allclose(resampled, 0.5, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [150, 1_000, 3_000])
def test_tones_of_the_speech_band_keep_phase_and_level(rate: int, hertz: int):
    def tone(rate: int, start: int, samples: int) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * (start + np.arange(samples)) / rate)

    context = 4 * rate // 1000
    resampled = tone(rate, -context, taken(rate)) @ resampling(taken(rate), rate, 32, 4)
    error = np.abs(resampled - tone(16_000, -64, 576))[32:-32]
    assert error.max() < 0.02


def test_frequencies_above_8_khz_are_filtered_out():
    tone = np.sin(2 * np.pi * 12_000 * np.arange(taken(48_000)) / 48_000)
    resampled = tone @ resampling(taken(48_000), 48_000, 32, 4)
    assert np.abs(resampled[32:-32]).max() < 0.01


def test_16_khz_is_not_changed():
    assert np.allclose(resampling(576, 16_000, 32, 4), np.eye(576), atol=1e-6)
