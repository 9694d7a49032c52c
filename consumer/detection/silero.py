"""Silero's network in two parts: an encoder of single windows, and a recurrent decoder.

The encoder runs on all windows of all streams at once, the decoder on one window of each stream at
a time. Source: snakers4/silero-vad; the weights are those of its package.
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
_ENCODED_AT_ONCE = 256  # windows: more are no faster, and would take memory for a whole backlog


class Network:
    """The network, for one thread, which should call `torch.set_num_threads(1)`: it is fastest."""

    def __init__(self) -> None:
        self._network = _load()

    def score(
        self, windows: Float32Array, counts: Sequence[int], states: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Return the speech probabilities [N] and the new states [S, 2, 128] of S streams.

        `windows` [N, 576] are at 16 kHz and include their context. The windows of a stream are
        consecutive and in order; `counts` [S] of them belong to each stream, at least one.
        `states` [S, 2, 128] are those before the windows.
        """
        # Without optimisation: TorchScript would compile for tens of ms at every new batch size.
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            encoded = self._encode(torch.from_numpy(windows))
            probabilities, state = self._step_through(
                encoded, np.asarray(counts), torch.from_numpy(states).transpose(0, 1)
            )
            return probabilities.numpy(), state.transpose(0, 1).numpy()

    def _encode(self, windows: torch.Tensor) -> torch.Tensor:
        """Encode single windows, [N, 576] -> [N, 128, 1]."""
        parts = torch.split(windows, _ENCODED_AT_ONCE)
        return torch.cat([self._network.encoder(self._network.stft(part)) for part in parts])

    def _step_through(
        self, encoded: torch.Tensor, counts: npt.NDArray[np.int_], state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Decode the n-th windows of all streams together; return probabilities and new state.

        Streams are sorted by their number of windows, so the active ones are always the first.
        """
        order = np.argsort(-counts, kind="stable")
        firsts = (np.cumsum(counts) - counts)[order]
        state = state[:, order].contiguous()
        probabilities = torch.empty(len(encoded))
        for step in range(counts.max()):
            active = int((counts > step).sum())
            rows = torch.from_numpy(firsts[:active] + step)
            speech, state[:, :active] = self._network.decoder(encoded[rows], state[:, :active])
            probabilities[rows] = speech.view(-1)
        return probabilities, state[:, np.argsort(order)]


def fresh_state() -> Float32Array:
    """Return the state at a cut, [2, 128]."""
    return np.zeros(_STATE, np.float32)


def _load() -> Any:
    """Load the network for 16 kHz from the package's file.

    Importing `silero_vad` would set the number of torch's threads for the whole process.
    """
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    with warnings.catch_warnings():
        # TorchScript is deprecated; the package has these weights in no other form for torch.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
        model: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return model.eval()._model  # noqa: SLF001 -- the wrapper resets the state by itself
