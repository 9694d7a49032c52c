"""The gain in front of the detectors and of Whisper: quiet speech is taken as loud speech is.

Both are made for speech at a usual level. At 30 dB below their recording, the detectors find three
quarters of some speech, and Whisper gets more words wrong of what is found. A gain is never
negative. docs/quality.md has the figures, decision 23 what was weighed.

`RunningGain` is for a detector: it brings the loudest of the recent windows to TARGET_DB, as far as
the noise floor stays below NOISE_DB, so that noise is not lifted into speech. The floor is the
quietest 100 ms, and digital silence is none: behind it ordinary noise would be amplified as speech.
The gain depends on nothing before the cut, as the scores do. `levelled` is for Whisper: one gain
for a whole clip.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import ceil, log10
from typing import Final, NamedTuple

import numpy as np

from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import Float32Array, Int16Array

TARGET_DB: Final = -20.0  # root mean square, in dB of full scale
NOISE_DB: Final = -45.0
MAX_DB: Final = 50.0
QUIET_DB: Final = -35.0  # of a clip: Whisper gets a louder one as it is
_LEVEL_FALL: Final = 3.0  # dB a second
_FLOOR_RISE: Final = 6.0  # dB a second
_BACKGROUND_MS: Final = 100  # half of it has to be quiet: a recording may fade in
_AUDIBLE_DB: Final = 0.5  # a smaller gain is not applied
_AT_ONCE: Final = 4_096  # windows in one array, about: it bounds the memory for a backlog
SILENCE: Final = 1e-3  # least power: digital silence has a level, too


class GainWork(NamedTuple):
    """The next windows of one stream, and its gain."""

    gain: RunningGain
    windows: Sequence[Int16Array]


def amplify(streams: Iterable[GainWork]) -> list[list[Int16Array]]:
    """Return the windows of each stream, those that are quiet amplified by its gain.

    Windows of many streams are one array; each is as it would be alone.
    """
    found: list[list[Int16Array]] = []
    part: list[GainWork] = []
    waiting = 0
    for stream in streams:
        part.append(stream)
        waiting += len(stream.windows)
        if waiting >= _AT_ONCE:
            found += _amplified(part)
            part, waiting = [], 0
    return found + _amplified(part)


def _amplified(streams: Sequence[GainWork]) -> list[list[Int16Array]]:
    windows = [window for stream in streams for window in stream.windows]
    blocks = [*_blocks(windows)]
    levels_db: list[float | None] = [None] * len(windows)
    for indexes, centred in blocks:
        for index, level_db in zip(indexes, _levels_db(centred), strict=True):
            levels_db[index] = level_db
    gains = (stream.gain for stream in streams for _ in stream.windows)
    factors = [gain.next(level) for gain, level in zip(gains, levels_db, strict=True)]
    for indexes, centred in blocks:
        quiet = [row for row, index in enumerate(indexes) if factors[index] > 1]
        amplified = _scaled(centred[quiet], [factors[indexes[row]] for row in quiet])
        for row, window in zip(quiet, amplified, strict=True):
            windows[indexes[row]] = window
    rest = iter(windows)
    return [[*islice(rest, len(stream.windows))] for stream in streams]


def _blocks(windows: Sequence[Int16Array]) -> Iterator[tuple[list[int], Float32Array]]:
    """Yield the windows of each length, without their means, [k, n], and their indexes."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for index, window in enumerate(windows):
        alike[len(window)].append(index)
    for indexes in alike.values():
        centred = np.stack([windows[index] for index in indexes]).astype(np.float32)
        centred -= centred.mean(axis=1, keepdims=True)
        yield indexes, centred


def _levels_db(centred: Float32Array) -> Iterator[float | None]:
    """Yield the level of each window, [k, n], in dB of full scale; None: it is constant."""
    audible: list[bool] = (centred != 0).any(axis=1).tolist()
    energies: list[float] = np.matmul(centred[:, None], centred[:, :, None]).ravel().tolist()
    for is_audible, energy in zip(audible, energies, strict=True):
        yield _decibels(energy / centred.shape[1]) if is_audible else None


def _scaled(centred: Float32Array, factors: Sequence[float]) -> Int16Array:
    """Return windows [k, n] times the factor of each, rounded and clipped at full scale."""
    samples = centred * np.array(factors, np.float32)[:, None]
    np.rint(samples, out=samples)
    np.clip(samples, -FULL_SCALE, FULL_SCALE - 1, out=samples)
    return samples.astype(np.int16)


class RunningGain:
    """The gain of one detector since its cut."""

    def __init__(self, window_ms: int) -> None:
        self._fall_db = _LEVEL_FALL * window_ms / 1000
        self._rise_db = _FLOOR_RISE * window_ms / 1000
        self._level_db = -np.inf  # of the loudest of the recent windows
        self._floor_db = np.inf  # of the quietest background
        self._newest_db: deque[float] = deque(maxlen=ceil(_BACKGROUND_MS / window_ms))

    def next(self, level_db: float | None) -> float:
        """Return the factor of the next window, at least 1; None: that one is constant."""
        if level_db is None:  # a muted microphone or padding is no background
            return 1.0
        gain_db = self._next(level_db)
        return 1.0 if gain_db < _AUDIBLE_DB else 10 ** (gain_db / 20)

    def _next(self, window_db: float) -> float:
        self._level_db = max(window_db, self._level_db - self._fall_db)
        self._newest_db.append(window_db)
        if len(self._newest_db) < (self._newest_db.maxlen or 0):
            return 0.0
        background_db = sorted(self._newest_db)[len(self._newest_db) // 2]
        self._floor_db = min(background_db, self._floor_db + self._rise_db)
        return min(TARGET_DB - self._level_db, NOISE_DB - self._floor_db, MAX_DB)


def levelled(samples: Float32Array) -> Float32Array:
    """Return [n] samples in [-1, 1]; below QUIET_DB amplified to TARGET_DB, without their mean."""
    centred: Float32Array = samples - samples.mean()
    level_db = _level_db(centred * np.float32(FULL_SCALE))
    if level_db > QUIET_DB:
        return samples
    gain_db = min(TARGET_DB - level_db, MAX_DB)
    centred *= 10 ** (gain_db / 20)
    np.clip(centred, -1.0, 1.0, out=centred)
    return centred


def _level_db(samples: Float32Array) -> float:
    """Return the level of [n] samples whose mean is 0, in dB of full scale."""
    return _decibels(float(samples @ samples) / len(samples))


def _decibels(power: float) -> float:
    return 10 * log10(max(power, SILENCE) / FULL_SCALE**2)
