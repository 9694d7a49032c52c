"""Convert an input's samples to the wire format, and encode them."""

from __future__ import annotations

import io
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from producer.formats import AudioFormat, Float32Array
from schemas.audio import MAX_CHANNELS, MAX_RATE, MIN_RATE, AudioCodec

Int16Array: TypeAlias = npt.NDArray[np.int16]

# The rates of encoders that support fewer than the wire's 8-48 kHz.
_RATES: Final[dict[AudioCodec, tuple[int, ...]]] = {
    AudioCodec.OPUS: (8_000, 12_000, 16_000, 24_000, 48_000),
    AudioCodec.MP3: (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
}
# libsndfile's names: container, encoding.
_ENCODINGS: Final[dict[AudioCodec, tuple[str, str]]] = {
    AudioCodec.PCM_S16LE: ("RAW", "PCM_16"),
    AudioCodec.PCM_F32LE: ("RAW", "FLOAT"),
    AudioCodec.PCM_MULAW: ("RAW", "ULAW"),
    AudioCodec.PCM_ALAW: ("RAW", "ALAW"),
    AudioCodec.FLAC: ("FLAC", "PCM_16"),
    AudioCodec.OPUS: ("OGG", "OPUS"),
    AudioCodec.VORBIS: ("OGG", "VORBIS"),
    AudioCodec.MP3: ("MP3", "MPEG_LAYER_III"),
    AudioCodec.WAV: ("WAV", "PCM_16"),
}
# Encoded from floats: libsndfile 1.2.2 leaves integers unscaled, or makes noise of stereo MP3.
_FROM_FLOATS: Final = frozenset(
    {AudioCodec.PCM_F32LE, AudioCodec.OPUS, AudioCodec.VORBIS, AudioCodec.MP3}
)


def wire_format(source: AudioFormat, codec: AudioCodec) -> AudioFormat:
    """Return the nearest format that wire and codec support; a rate is lowered only if it must."""
    rate = min(max(source.rate, MIN_RATE), MAX_RATE)
    rates = _RATES.get(codec, (rate,))
    channels = source.channels if source.channels <= MAX_CHANNELS else 1
    return AudioFormat(next(possible for possible in rates if possible >= rate), channels)


def encoded(samples: Int16Array, rate: int, codec: AudioCodec) -> bytes:
    """Return samples [n, channels] as a payload that decodes on its own; no samples: no bytes."""
    if not len(samples):
        return b""
    container, encoding = _ENCODINGS[codec]
    source = samples / np.float32(32_768) if codec in _FROM_FLOATS else samples
    endian = "LITTLE" if container == "RAW" else None
    payload = io.BytesIO()
    soundfile.write(payload, source, rate, encoding, endian, container)
    return payload.getvalue()


class Converter:
    """Converts the blocks of one stream to its wire format, keeping the resampler's state."""

    def __init__(self, source: AudioFormat, wire: AudioFormat) -> None:
        self._mixed_down = wire.channels < source.channels
        self._empty = np.empty((0, wire.channels), np.float32)
        self._resampler = (
            None
            if wire.rate == source.rate
            else soxr.ResampleStream(source.rate, wire.rate, wire.channels, dtype="float32")
        )

    def convert(self, block: Float32Array) -> Int16Array:
        """Return samples [n, channels] of -1..1 as 16-bit [m, channels] at the wire's rate."""
        if self._mixed_down:
            block = block.mean(axis=1, keepdims=True, dtype=np.float32)
        if self._resampler is not None:
            block = self._resampler.resample_chunk(block)
        return _quantised(block)

    def finish(self) -> Int16Array:
        """Return the samples that remain in the resampler."""
        if self._resampler is None:
            return _quantised(self._empty)
        return _quantised(self._resampler.resample_chunk(self._empty, last=True))


def _quantised(samples: Float32Array) -> Int16Array:
    # Exact for samples that were 16-bit integers.
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype(np.int16)
