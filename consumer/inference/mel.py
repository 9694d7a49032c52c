"""Log-mel spectrograms of a batch of clips, equal to openai-whisper's of each single clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 -- torch's own name for it
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from consumer.core.audio.gain import MAX_DB, QUIET_DB, SILENCE, TARGET_DB, levelled
from consumer.core.audio.samples import FULL_SCALE
from consumer.core.audio.utterance import Float32Array
from consumer.core.scheduling.jobs import Samples
from consumer.inference.device import to_device

FRAMES_PER_POSITION = 2
_DYNAMIC_RANGE = 8.0  # log10 power: values are at most 80 dB below the maximum of their clip


class LogMel:
    """Computes the log-mel frames of clips at 16 kHz on one device."""

    def __init__(self, n_mels: int, device: torch.device) -> None:
        self._device = device
        self._window = torch.hann_window(N_FFT, device=device)
        self._filters = mel_filters(device, n_mels).T.contiguous()

    def __call__(self, clips: Sequence[Samples], positions: int) -> Tensor:
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


def padded_audio(clips: Sequence[Samples], samples: int, device: torch.device) -> Tensor:
    """Return the clips at a usual level on a device, [B, samples] fp32, each padded with zeros.

    Recorded samples are converted on the device, unless that is the processor itself: there it
    takes less time clip by clip, within its cache.
    """
    if device.type == "cpu" or not all(clip.dtype == np.int16 for clip in clips):
        return to_device(padded([amplitudes(clip) for clip in clips], samples), device)
    lengths = torch.tensor([len(clip) for clip in clips])
    return levelled_rows(to_device(padded(clips, samples), device), to_device(lengths, device))


def padded(clips: Sequence[Samples], samples: int) -> Tensor:
    """Return the clips of one dtype, [B, samples] of it, each padded with zeros."""
    audio = np.empty((len(clips), samples), clips[0].dtype)
    for row, clip in zip(audio, clips, strict=True):
        row[: len(clip)] = clip
        row[len(clip) :] = 0
    return torch.from_numpy(audio)


def amplitudes(clip: Samples) -> Float32Array:
    """Return the samples of a clip as the model gets them, [n] in -1..1."""
    numbers = clip.astype(np.float32, copy=False)
    return levelled(numbers / np.float32(FULL_SCALE)) if clip.dtype == np.int16 else numbers


def levelled_rows(audio: Tensor, lengths: Tensor) -> Tensor:
    """Return `amplitudes` of rows [B, N] int16 of which the first `lengths` [B] are a clip's."""
    samples = audio.float() / FULL_SCALE
    count = lengths[:, None]
    mean = samples.sum(-1, keepdim=True) / count
    inside = torch.arange(audio.shape[-1], device=audio.device) < count
    centred = (samples - mean).mul_(inside)
    power = centred.square().sum(-1, keepdim=True) / count
    level_db = 10 * power.clamp(min=SILENCE / FULL_SCALE**2).log10()
    gain_db = (TARGET_DB - level_db).clamp(max=MAX_DB)
    amplified = (centred * 10 ** (gain_db / 20)).clamp_(-1.0, 1.0)
    return torch.where(level_db > QUIET_DB, samples, amplified)
