"""Log-mel spectrograms of a batch of clips, equal to openai-whisper's of each single clip."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from consumer.core.audio.utterance import Float32Array
from consumer.inference.device import to_device

FRAMES_PER_POSITION = 2
_DYNAMIC_RANGE = 8.0  # log10 power: values are at most 80 dB below the maximum of their clip


class LogMel:
    """Computes the log-mel frames of clips at 16 kHz on one device."""

    def __init__(self, n_mels: int, device: torch.device) -> None:
        self._device = device
        self._window = torch.hann_window(N_FFT, device=device)
        self._filters = mel_filters(device, n_mels).T.contiguous()

    def __call__(self, clips: Sequence[Float32Array], positions: int) -> Tensor:
        """Return frames [B, 2 * positions, n_mels], fp32, of clips padded with silence.

        `positions` extends at least 0.3 s beyond the longest clip, or is 1500. The floor depends on
        the maximum of each clip; openai-whisper's function takes that of the whole batch.
        """
        samples = positions * FRAMES_PER_POSITION * HOP_LENGTH
        audio = padded_audio(clips, samples, self._device)
        # Reflected at both ends, as torch.stft does.
        reflected = F.pad(audio[:, None], (N_FFT // 2, N_FFT // 2), "reflect")[:, 0]
        spectrum = torch.fft.rfft(reflected.unfold(-1, N_FFT, HOP_LENGTH) * self._window)
        power = torch.view_as_real(spectrum[:, :-1]).square().sum(-1)
        mel = (power @ self._filters).clamp_(min=1e-10).log10_()
        floor = mel.amax(dim=(1, 2), keepdim=True) - _DYNAMIC_RANGE
        return torch.maximum(mel, floor).add_(4.0).div_(4.0)


def padded_audio(clips: Sequence[Float32Array], samples: int, device: torch.device) -> Tensor:
    """Return the clips on a device, [B, samples], each padded with zeros."""
    audio = torch.zeros(len(clips), samples)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return to_device(audio, device)
