"""Short windows at any rate as windows at 16 kHz, each by itself: nothing to remember between them.

For scoring only: speech detectors know few rates. What Whisper hears is resampled once, whole.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from consumer.core.values import WHISPER_RATE, Float32Array

_CROSSINGS = 16  # zero crossings of the kernel on each side: how steep its low-pass is
_PER_MS = WHISPER_RATE // 1000


@lru_cache(maxsize=32)  # up to 4 MB each; of one rate, windows have two lengths
def resampling(taken: int, rate: int, window_ms: int, context_ms: int = 0) -> Float32Array:
    """Matrix [taken, given] from a window of `core.pcm.Framer` to the same at 16 kHz.

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
