"""Silero's network in two parts: an encoder of single windows, and a recurrent decoder.

The encoder runs on all windows of all streams at once, the decoder on one window of each stream at
a time. Each layer is one matrix product over all rows; TorchScript takes four times as long (its
interpreter, a Fourier transform by convolution, and convolutions of four columns). The last bits of
a probability depend on how many windows share a product.

    window [576] -> 4 frames of 256 samples -> their magnitudes [129] -> 4 convolutions -> [128]
    -> LSTM -> the probability of speech

Source: snakers4/silero-vad; the weights are those of its package.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array

WINDOW_MS = 32
CONTEXT_MS = 4  # of audio before each window
CLIP_SAMPLES = (CONTEXT_MS + WINDOW_MS) * WHISPER_RATE // 1000
_WIDTH: Final = 128  # of the LSTM
_STATE: Final = (2, _WIDTH)  # its output and cell
_ENCODED_AT_ONCE: Final = 256  # windows: more are no faster, and would take memory for a backlog
_FRAME: Final = 256  # samples of a Fourier transform
_HOP: Final = 128
_MIRRORED: Final = 64  # samples after a window, mirrored at its last one
_FRAMES: Final = 4


class _Affine(NamedTuple):
    """x [n, k] -> x @ weight [k, m] + bias [m]."""

    weight: Tensor
    bias: Tensor

    def __call__(self, rows: Tensor) -> Tensor:
        return torch.addmm(self.bias, rows, self.weight)


class Network:
    """The network, for one thread, which should call `torch.set_num_threads(1)`: it is fastest."""

    def __init__(self) -> None:
        weights = _load()
        self._hann = torch.hann_window(_FRAME)
        # The third convolution has two columns and the last has one: the others are padding.
        columns = (slice(3), slice(3), slice(1, 3), slice(1, 2))
        self._layers = [_convolution(weights, layer, taken) for layer, taken in enumerate(columns)]
        rnn = "decoder.rnn"
        self._input = _Affine(
            weights[f"{rnn}.weight_ih"].T.contiguous(),
            weights[f"{rnn}.bias_ih"] + weights[f"{rnn}.bias_hh"],
        )
        self._hidden = weights[f"{rnn}.weight_hh"].T.contiguous()
        output = "decoder.decoder.2"
        self._speech = _Affine(weights[f"{output}.weight"][0], weights[f"{output}.bias"])

    def score(
        self, windows: Float32Array, counts: Sequence[int], states: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Return the speech probabilities [N] and the new states [S, 2, 128] of S streams.

        `windows` [N, 576] are at 16 kHz and include their context. The windows of a stream are
        consecutive and in order; `counts` [S] of them belong to each stream, at least one.
        `states` [S, 2, 128] are those before the windows.
        """
        with torch.inference_mode():
            gates = self._encode(torch.from_numpy(windows))
            probabilities, state = self._step_through(
                gates, np.asarray(counts), torch.from_numpy(states)
            )
            return probabilities.numpy(), state.numpy()

    def _encode(self, windows: Tensor) -> Tensor:
        """Return what single windows [N, 576] add to the gates of the LSTM, [N, 512]."""
        parts = torch.split(windows, _ENCODED_AT_ONCE)
        return torch.cat([self._input(self._features(part)) for part in parts])

    def _features(self, windows: Tensor) -> Tensor:
        """Encode windows, [n, 576] -> [n, 128]."""
        first, second, third, fourth = self._layers
        columns = pad(self._magnitudes(windows), (0, 0, 1, 1))
        frames = first(_around(columns, _FRAMES)).relu_()  # [n * 4, 128]
        columns = pad(frames.view(len(windows), _FRAMES, -1), (0, 0, 1, 0))
        pairs = second(_around(columns, _FRAMES // 2, 2)).relu_()  # [n * 2, 64]
        return fourth(third(pairs.view(len(windows), -1)).relu_()).relu_()

    def _magnitudes(self, windows: Tensor) -> Tensor:
        """Return the magnitudes of the frames of windows, [n, 576] -> [n, 4, 129]."""
        count, length = windows.shape
        audio = torch.empty(count, length + _MIRRORED)
        audio[:, :length] = windows
        audio[:, length:] = windows[:, length - _MIRRORED - 1 : length - 1].flip(1)
        frames = audio.unfold(1, _FRAME, _HOP) * self._hann
        parts = torch.view_as_real(torch.fft.rfft(frames)).square_()
        return (parts[..., 0] + parts[..., 1]).sqrt_()

    def _step_through(
        self, gates: Tensor, counts: npt.NDArray[np.int_], state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode the n-th windows of all streams together; return probabilities and new state.

        Streams are sorted by their number of windows, so the active ones are always the first.
        """
        order = np.argsort(-counts, kind="stable")
        firsts = (np.cumsum(counts) - counts)[order]
        output, cell = state[order].unbind(1)
        outputs = torch.empty(len(gates), _WIDTH)
        for step in range(counts.max()):
            active = int((counts > step).sum())
            rows = torch.from_numpy(firsts[:active] + step)
            output[:active], cell[:active] = self._next(gates[rows], output[:active], cell[:active])
            outputs[rows] = output[:active]
        probabilities = self._speech(outputs.relu_()).sigmoid_().view(-1)
        return probabilities, torch.stack((output, cell), 1)[np.argsort(order)]

    def _next(self, gates: Tensor, output: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Run the LSTM on one window of each stream."""
        gates = torch.addmm(gates, output, self._hidden)
        new = gates[:, 2 * _WIDTH : 3 * _WIDTH].tanh()
        taken, kept, _, shown = gates.sigmoid_().chunk(4, 1)
        cell = (kept * cell).addcmul_(taken, new)
        return shown * cell.tanh(), cell


def fresh_state() -> Float32Array:
    """Return the state at a cut, [2, 128]."""
    return np.zeros(_STATE, np.float32)


def _around(columns: Tensor, outputs: int, step: int = 1) -> Tensor:
    """Return three columns from each `step`-th one on, [n, c, k] -> [n * outputs, 3 * k]."""
    last = step * (outputs - 1)
    return torch.cat([columns[:, at : at + last + 1 : step] for at in range(3)], 2).flatten(0, 1)


def _convolution(weights: Mapping[str, Tensor], layer: int, taken: slice) -> _Affine:
    """Return a convolution as the product of the columns that are taken around each output."""
    name = f"encoder.{layer}.reparam_conv"
    columns = weights[f"{name}.weight"][:, :, taken]  # [out, in, columns]
    return _Affine(columns.permute(2, 1, 0).flatten(0, 1).contiguous(), weights[f"{name}.bias"])


def _load() -> Mapping[str, Tensor]:
    """Load the weights of the network for 16 kHz from the package's file.

    Importing `silero_vad` would set the number of torch's threads for the whole process.
    """
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    with warnings.catch_warnings():
        # TorchScript is deprecated; the package has these weights in no other form for torch.
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
        model: Any = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    weights: dict[str, Tensor] = model._model.state_dict()  # noqa: SLF001 -- not that for 8 kHz
    return {name: tensor.detach() for name, tensor in weights.items()}
