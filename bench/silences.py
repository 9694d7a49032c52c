"""Eleven minutes without a word: silence, noise, hum, tones, clicks, music; made by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array

Float64Array: TypeAlias = npt.NDArray[np.float64]

LENGTH_S: Final = 20
_SAMPLES: Final = LENGTH_S * WHISPER_RATE
_TIME: Final = np.arange(_SAMPLES) / WHISPER_RATE
_SCALE: Final = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)  # A major, Hz


def silences(seed: int = 0) -> Iterator[tuple[str, Int16Array]]:
    """Name and [LENGTH_S] at WHISPER_RATE of each sound."""
    for name, sound in _sounds(np.random.default_rng(seed)):
        yield name, from_float(sound.astype(np.float32))


def _sounds(rng: np.random.Generator) -> Iterator[tuple[str, Float64Array]]:
    yield "silence", np.zeros(_SAMPLES)
    for level in (0.0001, 0.001, 0.01, 0.05, 0.2):
        yield f"white noise {level}", level * rng.standard_normal(_SAMPLES)
        yield f"pink noise {level}", level * _pink(rng)
    for rate_hz in (3, 4, 5):  # as fast as syllables
        yield f"noise at {rate_hz} Hz", 0.1 * _pink(rng) * np.sin(np.pi * rate_hz * _TIME) ** 2
    for pitch in (50, 60):
        yield f"hum {pitch} Hz", 0.05 * _tone(pitch, harmonics=8)
    for pitch in (220, 440, 1000, 3000):
        yield f"tone {pitch} Hz", 0.2 * _tone(pitch)
    yield "dial tone", 0.1 * (_tone(350) + _tone(440))
    yield "ring tone", 0.1 * (_tone(440) + _tone(480)) * (_TIME % 6 < 2)
    yield "beeps", 0.2 * _tone(1000) * (_TIME % 1 < 0.2)
    yield "sweep", 0.1 * np.sin(2 * np.pi * (100 + 75 * _TIME) * _TIME)
    for number in range(3):
        yield f"clicks {number}", 0.002 * rng.standard_normal(_SAMPLES) + _clicks(rng)
    for number in range(6):
        yield f"music {number}", _music(rng, drums=number % 2 == 1)


def _pink(rng: np.random.Generator) -> Float64Array:
    """Noise with as much power in every octave, root mean square 1."""
    spectrum = np.fft.rfft(rng.standard_normal(_SAMPLES))
    sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), _SAMPLES)
    return np.asarray(sound / sound.std())


def _tone(pitch: float, *, harmonics: int = 1, samples: int = _SAMPLES) -> Float64Array:
    waves = [np.sin(2 * np.pi * pitch * k * _TIME[:samples]) / k for k in range(1, harmonics + 1)]
    return np.asarray(np.sum(waves, axis=0))


def _clicks(rng: np.random.Generator) -> Float64Array:
    sound = np.zeros(_SAMPLES)
    for start in rng.integers(0, _SAMPLES, 60):
        _strike(sound, int(start), rng.standard_normal(_SAMPLES // 200), rng.uniform(0.05, 0.5))
    return sound


def _music(rng: np.random.Generator, *, drums: bool) -> Float64Array:
    """Two notes of a scale on every beat, dying away, with or without a drum."""
    sound = np.zeros(_SAMPLES)
    beat = int(WHISPER_RATE * rng.choice([0.25, 0.4, 0.5]))
    for start in range(0, _SAMPLES, beat):
        for pitch in rng.choice(_SCALE, 2) * rng.choice([0.5, 1, 2]):
            _strike(sound, start, _tone(pitch, harmonics=6, samples=4 * beat), 0.1)
        if drums:
            _strike(sound, start, rng.standard_normal(beat // 4), 0.2)
    return sound


def _strike(sound: Float64Array, start: int, wave: Float64Array, level: float) -> None:
    """Adds a wave that dies away over its length."""
    fading = level * wave * np.exp(-5 * np.arange(len(wave)) / len(wave))
    end = min(len(sound), start + len(wave))
    sound[start:end] += fading[: end - start]
