from __future__ import annotations

import numpy as np
import pytest

from consumer.core.audio.windows import resampling, window_start

RATES = [8_000, 11_025, 22_050, 24_000, 32_000, 44_100, 48_000]


def taken(rate: int) -> int:
    return 4 * rate // 1000 + window_start(1, 32, rate)


@pytest.mark.parametrize("rate", RATES)
def test_a_constant_stays_one_up_to_the_edges(rate: int):
    given = np.full(taken(rate), 0.5) @ resampling(taken(rate), rate, 32, 4)
    assert given.shape == (576,)
    assert np.allclose(given, 0.5, atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hertz", [150, 1_000, 3_000])
def test_speech_band_tones_keep_time_and_level(rate: int, hertz: int):
    def tone(rate: int, start: int, samples: int) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * (start + np.arange(samples)) / rate)

    context = 4 * rate // 1000
    given = tone(rate, -context, taken(rate)) @ resampling(taken(rate), rate, 32, 4)
    error = np.abs(given - tone(16_000, -64, 576))[32:-32]
    assert error.max() < 0.02


def test_what_16_khz_cannot_hold_is_filtered_out():
    whistle = np.sin(2 * np.pi * 12_000 * np.arange(taken(48_000)) / 48_000)
    given = whistle @ resampling(taken(48_000), 48_000, 32, 4)
    assert np.abs(given[32:-32]).max() < 0.01


def test_at_16_khz_nothing_changes():
    assert np.allclose(resampling(576, 16_000, 32, 4), np.eye(576), atol=1e-6)
