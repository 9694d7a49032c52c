"""The windows of a speech detector: a grid over audio of any rate, and resampling to 16 kHz.

Each window is resampled on its own, so that no filter state has to be kept between windows. This is
for detectors only, which support few rates; the input of Whisper is resampled once per utterance.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array

_CROSSINGS = 16  # zero crossings of the kernel on each side: the steepness of its low-pass
_PER_MS = WHISPER_RATE // 1000  # samples


class Framer:
    """Splits audio that arrives in pieces of any length into windows, counted from a cut.

    A window is returned once, as soon as its last sample has arrived. Its context precedes it: the
    last `context_ms` of the audio before it, zeros before the first window.
    """

    def __init__(self, window_ms: int, rate: int, context_ms: int = 0) -> None:
        self._window_ms = window_ms
        self._rate = rate
        self._context = context_ms * rate // 1000
        self._next = 0  # index of the next window
        self._rest: Int16Array = np.zeros(self._context, np.int16)  # of the next window

    def push(self, samples: Int16Array) -> list[Int16Array]:
        """Return the windows that are complete now, each [context + window] samples."""
        audio = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        begin = self._start(self._next)
        windows = []
        at = 0
        while (end := self._context + self._start(self._next + 1) - begin) <= len(audio):
            windows.append(audio[at:end])
            at = end - self._context
            self._next += 1
        self._rest = audio[at:].copy()  # a view would keep the whole array in memory
        return windows

    def _start(self, window: int) -> int:
        return window_start(window, self._window_ms, self._rate)


def window_start(window: int, window_ms: int, rate: int) -> int:
    """Return the first sample of a window, counted from the cut; exact at every rate: no drift."""
    return window * window_ms * rate // 1000


def window_at(sample: int, window_ms: int, rate: int) -> int:
    """Return the window that contains a sample: the inverse of `window_start`."""
    return ((sample + 1) * 1000 - 1) // (window_ms * rate)


@lru_cache(maxsize=32)  # up to 4 MB each; at one rate, windows have at most two lengths
def resampling(taken: int, rate: int, window_ms: int, context_ms: int = 0) -> Float32Array:
    """Return the matrix [taken, given] that resamples a window of `Framer` to 16 kHz.

    `taken`: samples of the window and its context. The kernel is a sinc under a Hann window (J. O.
    Smith, Digital Audio Resampling). Each column sums to 1, so that a constant signal stays
    constant up to the edges. The context ends at the same point in both.
    """
    step = rate / WHISPER_RATE
    given = np.arange(-context_ms * _PER_MS, window_ms * _PER_MS)  # 0: the start of the window
    present = np.arange(taken) - context_ms * rate // 1000
    distance = (given[None, :] * step - present[:, None]) * min(1.0, 1 / step)
    hann = np.cos(np.clip(distance / _CROSSINGS, -1, 1) * np.pi / 2) ** 2
    kernel = np.sinc(distance) * hann
    matrix: Float32Array = (kernel / kernel.sum(axis=0)).astype(np.float32)
    return matrix
