"""Samples in memory as an input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from consumer.core.audio.samples import to_float
from producer.formats import AudioFormat, Float32Array
from producer.media import BlockingAudio

_BLOCK: Final = 1 << 14  # samples


@dataclass(frozen=True, slots=True)
class SampleSource:
    """`producer.media.BlockingInput` of samples [n] or [n, channels]: floats of -1..1, or int16.

    Raises ValueError for others.
    """

    samples: npt.NDArray[Any]
    rate: int  # Hz
    name: str = "samples"

    def __post_init__(self) -> None:
        kind, dimensions = self.samples.dtype, self.samples.ndim
        if not (np.issubdtype(kind, np.floating) or kind == np.int16) or dimensions not in {1, 2}:
            raise ValueError(
                f"samples of {kind} in {dimensions} dimensions: give floats of -1..1 or int16, "
                "of shape [n] or [n, channels]"
            )
        if self.rate <= 0:
            raise ValueError(f"a rate of {self.rate} Hz: it must be above 0")

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @contextmanager
    def reading(self, stopped: Callable[[], bool]) -> Iterator[BlockingAudio]:
        channels = 1 if self.samples.ndim == 1 else self.samples.shape[1]
        yield BlockingAudio(AudioFormat(self.rate, channels), self._blocks(channels, stopped))

    def _blocks(self, channels: int, stopped: Callable[[], bool]) -> Iterator[Float32Array]:
        for begin in range(0, len(self.samples), _BLOCK):
            if stopped():
                return
            block = self.samples[begin : begin + _BLOCK].reshape(-1, channels)
            yield to_float(block) if block.dtype == np.int16 else block.astype(np.float32)
