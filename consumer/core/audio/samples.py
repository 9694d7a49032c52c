"""Samples: raw payloads as int16, and their conversion to float and to mono."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from consumer.core.audio.format_hints import encoded_format
from consumer.core.audio.utterance import Float32Array, Int16Array
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

_CANCELLED = 0.1  # power of the mean of the channels, as a share of that of the loudest
_SILENCE = 16.0  # power below which channels are not compared: samples of 4
FULL_SCALE = 32_768  # int16 for an amplitude of 1.0


class DecodedAudio(NamedTuple):
    """The samples of one payload and their rate."""

    samples: Int16Array  # [n, channels]
    rate: int  # Hz


class Mono(NamedTuple):
    """Samples of one channel."""

    samples: Int16Array  # [n]
    cancelled: bool  # whether the channels were not mixed, as they cancel each other


def sample_bytes(codec: AudioCodec) -> int:
    """Return the bytes of one sample of one channel of a raw codec."""
    return _DTYPES[codec].itemsize


def unpack(payload: bytes, codec: AudioCodec, channels: int) -> Int16Array:
    """Return the samples [n, channels] of a raw interleaved payload.

    Raises `WireError` if the payload ends inside a sample, or a float is not finite.
    """
    frame_bytes = sample_bytes(codec) * channels
    if len(payload) % frame_bytes:
        raise WireError(
            Reason.BAD_PAYLOAD,
            f"{len(payload)} bytes of {codec} with {channels} channel(s) end inside a sample; "
            + (encoded_format(payload) or f"send whole multiples of {frame_bytes} bytes"),
        )
    raw = np.frombuffer(payload, _DTYPES[codec]).reshape(-1, channels)
    match codec:
        case AudioCodec.PCM_F32LE:
            return from_float(raw)
        case AudioCodec.PCM_MULAW:
            return _MULAW.take(raw)
        case AudioCodec.PCM_ALAW:
            return _ALAW.take(raw)
        case AudioCodec.PCM_S16LE:
            return raw.astype(np.int16, copy=False)
        case _:
            raise ValueError(f"{codec} is no raw codec")


def from_float(samples: Float32Array) -> Int16Array:
    """Return amplitudes of -1..1 as int16, rounded; louder ones are clipped.

    Raises `WireError` if an amplitude is infinite or not a number.
    """
    if not np.isfinite(samples).all():
        raise WireError(
            Reason.BAD_PAYLOAD, "a sample is infinite or not a number; send amplitudes of -1..1"
        )
    scaled: Float32Array = np.rint(samples.clip(-1, 1) * np.float32(FULL_SCALE))
    return scaled.clip(max=FULL_SCALE - 1).astype(np.int16)


def to_float(samples: Int16Array) -> Float32Array:
    """Return amplitudes of -1..1."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def mono(samples: Int16Array) -> Mono:
    """Return the mean of the channels [n, channels], or the loudest one where they cancel."""
    channels = samples.shape[1]
    if channels == 1:
        return Mono(samples[:, 0], cancelled=False)
    wide = samples.astype(np.int64)  # exact: a replay must decide alike on every machine
    products = wide.T @ wide
    energies = products.diagonal()
    loudest = int(energies.argmax())
    is_audible = energies[loudest] > _SILENCE * len(samples)
    if is_audible and products.sum() < _CANCELLED * energies[loudest] * channels**2:
        return Mono(samples[:, loudest], cancelled=True)
    return Mono((wide.sum(axis=1) // channels).astype(np.int16), cancelled=False)


def _mulaw_table() -> Int16Array:
    """Return the 16-bit sample of every mu-law byte (ITU-T G.711, table 2)."""
    inverted = ~np.arange(256, dtype=np.uint8)
    exponent = (inverted >> 4 & 7).astype(np.int32)
    magnitude = ((((inverted & 15).astype(np.int32) << 3) + 132) << exponent) - 132
    return np.where(inverted & 128, -magnitude, magnitude).astype(np.int16)


def _alaw_table() -> Int16Array:
    """Return the 16-bit sample of every A-law byte (ITU-T G.711, table 1)."""
    toggled = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent = (toggled >> 4 & 7).astype(np.int32)
    mantissa = ((toggled & 15).astype(np.int32) << 4) + 8
    magnitude = np.where(exponent, (mantissa + 256) << np.maximum(exponent - 1, 0), mantissa)
    return np.where(toggled & 128, magnitude, -magnitude).astype(np.int16)


_MULAW, _ALAW = _mulaw_table(), _alaw_table()
_DTYPES: dict[AudioCodec, np.dtype[Any]] = {
    AudioCodec.PCM_S16LE: np.dtype("<i2"),
    AudioCodec.PCM_F32LE: np.dtype("<f4"),
    AudioCodec.PCM_MULAW: np.dtype(np.uint8),
    AudioCodec.PCM_ALAW: np.dtype(np.uint8),
}
