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
from collections.abc import Iterator, Sequence
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
_AT_ONCE: Final = 4_096  # windows measured together, which bounds the memory for a backlog
SILENCE: Final = 1e-3  # least power: digital silence has a level, too


class MeasuredWindow(NamedTuple):
    """A window of a detector, and what its gain depends on."""

    window: Int16Array  # [n]
    centred: Float32Array  # [n], without its mean
    level_db: float | None  # of full scale; None: it is constant


def measured(windows: Sequence[Int16Array]) -> list[MeasuredWindow]:
    """Return the windows of any number of streams, in order; those of one length are one array."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for index, window in enumerate(windows):
        alike[len(window)].append(index)
    found: dict[int, MeasuredWindow] = {}
    for indexes in alike.values():
        for first in range(0, len(indexes), _AT_ONCE):
            block = indexes[first : first + _AT_ONCE]
            found |= zip(block, _measured([windows[index] for index in block]), strict=True)
    return [found[index] for index in range(len(windows))]


def _measured(windows: list[Int16Array]) -> Iterator[MeasuredWindow]:
    """Yield windows of one length, each as if it were measured alone."""
    centred = np.stack(windows).astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    audible: list[bool] = (centred != 0).any(axis=1).tolist()
    energies = np.matmul(centred[:, None], centred[:, :, None]).ravel().tolist()
    for window, row, is_audible, energy in zip(windows, centred, audible, energies, strict=True):
        level_db = _decibels(energy / len(window)) if is_audible else None
        yield MeasuredWindow(window, row, level_db)


class RunningGain:
    """The gain of one detector since its cut."""

    def __init__(self, window_ms: int) -> None:
        self._fall_db = _LEVEL_FALL * window_ms / 1000
        self._rise_db = _FLOOR_RISE * window_ms / 1000
        self._level_db = -np.inf  # of the loudest of the recent windows
        self._floor_db = np.inf  # of the quietest background
        self._newest_db: deque[float] = deque(maxlen=ceil(_BACKGROUND_MS / window_ms))

    def apply(self, measured: MeasuredWindow) -> Int16Array:
        """Return the next window, amplified without its mean and clipped at full scale if quiet."""
        if measured.level_db is None:  # a muted microphone or padding is no background
            return measured.window
        gain_db = self._next(measured.level_db)
        if gain_db < _AUDIBLE_DB:
            return measured.window
        samples = measured.centred * np.float32(10 ** (gain_db / 20))
        np.rint(samples, out=samples)
        np.minimum(samples, FULL_SCALE - 1, out=samples)  # both at a third of the cost of `clip`
        np.maximum(samples, -FULL_SCALE, out=samples)
        return samples.astype(np.int16)

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
