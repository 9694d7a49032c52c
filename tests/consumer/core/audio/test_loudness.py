from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.loudness import HIGHEST_DB, LOWEST_DB, Loudness, clipped_ratio
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import Float32Array, Int16Array

RATE = 16_000


def tone(seconds: float, level: float = 0.1, rate: int = RATE) -> Float32Array:
    """Return a sine with a root mean square of `level`."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * 2**0.5 * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


def pulsed_tone(seconds: float = 4.0, rate: int = RATE) -> Float32Array:
    """Return a tone that sounds for three quarters of every second, then at level 0.1."""
    sounding = np.arange(round(seconds * rate)) % rate < 0.75 * rate
    return tone(seconds, rate=rate) * sounding


def noise(seconds: float, level: float) -> Float32Array:
    drawn = np.random.default_rng(7).standard_normal(round(seconds * RATE))
    return (level * drawn).astype(np.float32)


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=400))
def test_the_noise_is_from_the_quantile_of_numpy(amplitudes: list[float]):
    frames = np.tile(np.array([1, -1], np.int16), 160)[None, :] * (
        np.array(amplitudes, np.float32)[:, None] * 10_000
    ).astype(np.int16)
    found = Loudness.of(frames.ravel(), RATE)
    least = 1 / 12 / 32_768**2
    assert found.noise == max(float(np.quantile(found.powers, 0.1)) * 1.2, least)


@pytest.mark.parametrize("snr_db", [5, 10, 20, 30])
def test_the_snr_of_a_known_mix_is_estimated_within_3_db(snr_db: int):
    mixed = pulsed_tone() + noise(4.0, 0.1 / 10 ** (snr_db / 20))
    found = Loudness.of(from_float(mixed), RATE).snr_db
    assert found == pytest.approx(snr_db, abs=3)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_the_snr_does_not_depend_on_the_rate(rate: int):
    assert Loudness.of(from_float(pulsed_tone(rate=rate)), rate).snr_db == HIGHEST_DB


def test_constant_sound_counts_as_noise():
    assert Loudness.of(from_float(noise(2.0, 0.1)), RATE).snr_db < 0
    assert Loudness.of(from_float(tone(2.0)), RATE).snr_db == LOWEST_DB
    assert Loudness.of(np.zeros(RATE, np.int16), RATE).snr_db == LOWEST_DB


def test_a_dc_offset_has_no_power():
    assert Loudness.of(np.full(RATE, 900, np.int16), RATE).powers.max() == 0


@given(st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=2_000))
def test_the_snr_of_any_samples_is_within_its_bounds(samples: list[int]):
    loudness = Loudness.of(np.array(samples, np.int16), RATE)
    assert LOWEST_DB <= loudness.snr_db <= HIGHEST_DB
    assert LOWEST_DB <= loudness.above_noise_db(-1, 9) <= HIGHEST_DB
    assert loudness.powers.min() >= 0
    assert loudness.powers.max() <= 1


def test_the_loudest_frame_of_a_stretch_counts():
    loudness = Loudness.of(from_float(pulsed_tone() + noise(4.0, 0.001)), RATE)
    assert loudness.above_noise_db(0.8, 0.98) == pytest.approx(0, abs=2)  # a pause
    assert loudness.above_noise_db(0.8, 1.2) == pytest.approx(40, abs=2)
    assert loudness.above_noise_db(3.9, 9.0) == loudness.above_noise_db(3.9, 4.0)
    assert loudness.above_noise_db(9.0, 9.5) == pytest.approx(0, abs=2)  # the last frame


@pytest.mark.parametrize(
    ("samples", "ratio"),
    [([0, 31_000, -31_000, 5], 0.0), ([32_767, 0, 0, -32_768], 0.5), ([32_124, -32_256], 1.0)],
)
def test_clipped_samples_are_counted(samples: list[int], ratio: float):
    assert clipped_ratio(np.array(samples, np.int16)) == ratio


def test_measuring_does_not_change_the_samples():
    samples: Int16Array = np.arange(400, dtype=np.int16)
    Loudness.of(samples[1:], RATE)
    assert samples[1] == 1
