"""Short windows at any rate as windows at 16 kHz, each by itself: nothing to remember between them.

For scoring only: speech detectors know few rates. What Whisper hears is resampled once, whole.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array


class Framer:
    """Audio that comes in pieces of any length, as the windows of a grid counted from a cut.

    A window is given as soon as its last sample has come, and never twice. Before each stand the
    last `context_ms` of the audio before it, zeros before the first.
    """

    def __init__(self, window_ms: int, rate: int, context_ms: int = 0) -> None:
        self._window_ms = window_ms
        self._rate = rate
        self._context = context_ms * rate // 1000
        self._next = 0  # index of the next window
        self._rest: Int16Array = np.zeros(self._context, np.int16)  # its context and first samples

    def push(self, samples: Int16Array) -> list[Int16Array]:
        """Windows that are complete now, each [context + window] of its own length."""
        audio = np.concatenate((self._rest, samples))
        begin = self._start(self._next)
        windows = []
        at = 0
        while (end := self._context + self._start(self._next + 1) - begin) <= len(audio):
            windows.append(audio[at:end])
            at = end - self._context
            self._next += 1
        self._rest = audio[at:].copy()  # a view would keep the whole piece in memory
        return windows

    def _start(self, window: int) -> int:
        return window_start(window, self._window_ms, self._rate)


def window_start(window: int, window_ms: int, rate: int) -> int:
    """First sample of a window, counted from the cut: exact at every rate, so nothing drifts."""
    return window * window_ms * rate // 1000


def window_at(sample: int, window_ms: int, rate: int) -> int:
    """The window that holds a sample: the inverse of `window_start`."""
    return ((sample + 1) * 1000 - 1) // (window_ms * rate)


_CROSSINGS = 16  # zero crossings of the kernel on each side: how steep its low-pass is


_PER_MS = WHISPER_RATE // 1000


@lru_cache(maxsize=32)  # up to 4 MB each; of one rate, windows have two lengths
def resampling(taken: int, rate: int, window_ms: int, context_ms: int = 0) -> Float32Array:
    """Matrix [taken, given] from a window of `Framer` to the same at 16 kHz.

    A sinc under a Hann window (J. O. Smith, Digital Audio Resampling), its columns scaled to sum
    to 1, so that a constant stays one up to the edges. In both the context ends where the window
    starts.
    """
    step = rate / WHISPER_RATE
    given = np.arange(-context_ms * _PER_MS, window_ms * _PER_MS)  # 0: where the window starts
    present = np.arange(taken) - context_ms * rate // 1000
    distance = (given[None, :] * step - present[:, None]) * min(1.0, 1 / step)
    hann = np.cos(np.clip(distance / _CROSSINGS, -1, 1) * np.pi / 2) ** 2
    kernel = np.sinc(distance) * hann
    matrix: Float32Array = (kernel / kernel.sum(axis=0)).astype(np.float32)
    return matrix
