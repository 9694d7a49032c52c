"""Silero's network, taken apart: what looks at one window alone, and what remembers.

The first part takes all windows of all streams at once, the second one window of each stream after
the other. Source: snakers4/silero-vad; the weights are its package's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import distribution
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array

WINDOW_MS = 32
CONTEXT_MS = 4  # of audio before each window
CLIP_SAMPLES = (CONTEXT_MS + WINDOW_MS) * WHISPER_RATE // 1000
_STATE = (2, 128)  # an LSTM's output and cell
_ENCODED_AT_ONCE = 256  # windows: more are no faster, and a backlog may hold many


class Network:
    """Used from one thread; it should call `torch.set_num_threads(1)`: more are no faster."""

    def __init__(self) -> None:
        self._network = _load()

    def score(
        self, windows: Float32Array, counts: Sequence[int], states: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Speech probabilities [N] of windows [N, 576] at 16 kHz, context included, and new states.

        The windows of a stream stand together in order, `counts` of them a stream, none 0;
        `states` [S, 2, 128] holds what each stream remembers before them, and the answer after.
        """
        # Nothing compiled: every new batch size would be, for tens of milliseconds at a time.
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            encoded = self._encode(torch.from_numpy(windows))
            probabilities, state = self._step_through(
                encoded, np.asarray(counts), torch.from_numpy(states).transpose(0, 1)
            )
            return probabilities.numpy(), state.transpose(0, 1).numpy()

    def _encode(self, windows: torch.Tensor) -> torch.Tensor:
        """[N, 576] -> [N, 128, 1]: windows by themselves."""
        parts = torch.split(windows, _ENCODED_AT_ONCE)
        return torch.cat([self._network.encoder(self._network.stft(part)) for part in parts])

    def _step_through(
        self, encoded: torch.Tensor, counts: npt.NDArray[np.int_], state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The n-th windows of all streams in one step; those with most windows go first."""
        order = np.argsort(-counts, kind="stable")
        firsts = (np.cumsum(counts) - counts)[order]
        state = state[:, order].contiguous()
        probabilities = torch.empty(len(encoded))
        for step in range(counts.max()):
            active = int((counts > step).sum())
            rows = torch.from_numpy(firsts[:active] + step)
            heard, state[:, :active] = self._network.decoder(encoded[rows], state[:, :active])
            probabilities[rows] = heard.view(-1)
        return probabilities, state[:, np.argsort(order)]


def fresh_state() -> Float32Array:
    """What a stream's state is at a cut, [2, 128]."""
    return np.zeros(_STATE, np.float32)


def _load() -> Any:
    """The network for 16 kHz. Importing `silero_vad` would change torch's threads for everyone."""
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    with warnings.catch_warnings():
        # TorchScript is deprecated; the package has these weights in no other form for torch.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
        model: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return model.eval()._model  # noqa: SLF001 -- the wrapper resets its state unasked
