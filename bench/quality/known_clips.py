"""Audio of which the words are known: clips as recorded and under noise, and sounds without speech.

Noise is real: that of the folder's clips without speech, which the manifest calls `nonspeech`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from bench.quality.cutting import utterances
from bench.quality.recordings import MANIFEST, Recording, entries, read, recordings
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array, Utterance
from consumer.detection import cascade
from consumer.settings import Detector

SNRS_DB: Final = (None, 10.0, 3.0)  # None: as recorded
_AUDIBLE: Final = 0.001  # root mean square from which on a clip is used as noise


@dataclass(frozen=True, slots=True, eq=False)
class KnownClip:
    """One clip, as recorded or under noise, cut as the worker cuts it."""

    recording: Recording
    speaker: str
    snr_db: float | None  # None: as recorded
    utterances: tuple[Utterance, ...]


def known_clips(folder: Path, languages: Collection[str]) -> Iterator[KnownClip]:
    """Yield the clips of a folder at each of SNRS_DB; without noise, if the folder has none."""
    manifest = {Path(entry["file"]).stem: entry for entry in entries(folder / MANIFEST)}
    sounds = audible(samples for _, samples in nonspeech(folder))
    scorer = cascade.load(Detector.CASCADE)
    for index, clip in enumerate(recordings(folder, languages)):
        for snr_db in SNRS_DB if sounds else SNRS_DB[:1]:
            samples = clip.samples
            if snr_db is not None:
                samples = mixed(samples, sounds[index % len(sounds)], snr_db)
            found = tuple(utterances(from_float(samples), scorer))
            yield KnownClip(clip, manifest[clip.name].get("speaker", clip.name), snr_db, found)


def nonspeech(folder: Path) -> Iterator[tuple[str, Int16Array]]:
    """Yield the name and samples at WHISPER_RATE of the folder's clips without speech."""
    for entry in entries(folder / MANIFEST):
        if entry.get("kind") == "nonspeech":
            yield entry["file"], read(folder / entry["file"])


def audible(sounds: Iterable[Int16Array]) -> list[Float32Array]:
    """Return the sounds that are loud enough to be noise."""
    return [sound for sound in map(to_float, sounds) if level(sound) > _AUDIBLE]


def mixed(speech: Float32Array, noise: Float32Array, snr_db: float) -> Float32Array:
    """Return speech with noise `snr_db` below it, scaled down where it would clip."""
    sound = speech + np.resize(attenuated(noise, level(speech), snr_db), len(speech))
    return (sound / max(1.0, float(np.abs(sound).max()))).astype(np.float32)


def attenuated(noise: Float32Array, speech_level: float, snr_db: float) -> Float32Array:
    """Return noise `snr_db` below the level of speech."""
    return (noise * (speech_level / 10 ** (snr_db / 20) / level(noise))).astype(np.float32)


def amplified(samples: Int16Array, db: float) -> Int16Array:
    """Return audio amplified by `db`, clipped at full scale."""
    return from_float(to_float(samples) * np.float32(10 ** (db / 20)))


def level(samples: Float32Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(samples**2)))


# --- synthetic sounds

Float64Array: TypeAlias = npt.NDArray[np.float64]

LENGTH_S: Final = 20
_LENGTH: Final = LENGTH_S * WHISPER_RATE
_TIME: Final = np.arange(_LENGTH) / WHISPER_RATE
_SCALE: Final = 220 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)  # A major, Hz


def silences() -> Iterator[tuple[str, Int16Array]]:
    """Yield name and samples, LENGTH_S at WHISPER_RATE, of eleven minutes without speech."""
    for name, sound in _sounds(np.random.default_rng(0)):
        yield name, from_float(sound.astype(np.float32))


def _sounds(rng: np.random.Generator) -> Iterator[tuple[str, Float64Array]]:
    yield "silence", np.zeros(_LENGTH)
    for level in (0.0001, 0.001, 0.01, 0.05, 0.2):
        yield f"white noise {level}", level * rng.standard_normal(_LENGTH)
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
        yield f"clicks {number}", 0.002 * rng.standard_normal(_LENGTH) + _clicks(rng)
    for number in range(6):
        yield f"music {number}", _music(rng, drums=number % 2 == 1)


def _pink(rng: np.random.Generator) -> Float64Array:
    """Return noise with equal power in every octave, root mean square 1."""
    spectrum = np.fft.rfft(rng.standard_normal(_LENGTH))
    sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), _LENGTH)
    return np.asarray(sound / sound.std())


def _tone(pitch: float, *, harmonics: int = 1, length: int = _LENGTH) -> Float64Array:
    waves = [np.sin(2 * np.pi * pitch * k * _TIME[:length]) / k for k in range(1, harmonics + 1)]
    return np.asarray(np.sum(waves, axis=0))


def _clicks(rng: np.random.Generator) -> Float64Array:
    sound = np.zeros(_LENGTH)
    for start in rng.integers(0, _LENGTH, 60):
        _add(sound, int(start), rng.standard_normal(_LENGTH // 200), rng.uniform(0.05, 0.5))
    return sound


def _music(rng: np.random.Generator, *, drums: bool) -> Float64Array:
    """Return two notes of a scale on every beat, with or without a drum."""
    sound = np.zeros(_LENGTH)
    beat = int(WHISPER_RATE * rng.choice([0.25, 0.4, 0.5]))
    note = cache(partial(_tone, harmonics=6, length=4 * beat))
    for start in range(0, _LENGTH, beat):
        for pitch in rng.choice(_SCALE, 2) * rng.choice([0.5, 1, 2]):
            _add(sound, start, note(pitch), 0.1)
        if drums:
            _add(sound, start, rng.standard_normal(beat // 4), 0.2)
    return sound


def _add(sound: Float64Array, start: int, wave: Float64Array, level: float) -> None:
    """Add a wave that decays over its length."""
    decaying = level * wave * np.exp(-5 * np.arange(len(wave)) / len(wave))
    end = min(len(sound), start + len(wave))
    sound[start:end] += decaying[: end - start]
