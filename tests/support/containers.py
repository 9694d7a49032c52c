"""Audio files as they are really sent: joined, without lengths, damaged."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import soundfile

from schemas.audio import AudioCodec

SAMPLES = Path(__file__).parents[2] / "samples"
FORMATS: dict[AudioCodec, tuple[str, str]] = {
    AudioCodec.FLAC: ("FLAC", "PCM_16"),
    AudioCodec.WAV: ("WAV", "PCM_16"),
    AudioCodec.OPUS: ("OGG", "OPUS"),
    AudioCodec.VORBIS: ("OGG", "VORBIS"),
    AudioCodec.MP3: ("MP3", "MPEG_LAYER_III"),
}
NO_LENGTHS = (0, 0x7FFF_F000, 0xFFFF_FFFF)  # what writers to a pipe state


def speech(name: str = "en_jfk", seconds: float | None = None) -> tuple[npt.NDArray[np.int16], int]:
    """Return a clip of samples/ and its rate."""
    samples, rate = soundfile.read(SAMPLES / f"{name}.flac", dtype="int16")
    return samples[: None if seconds is None else round(seconds * rate)], rate


def encode(codec: AudioCodec, samples: npt.NDArray[np.int16], rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    container, encoding = FORMATS[codec]
    if codec is AudioCodec.WAV:
        soundfile.write(file, samples, rate, format=container, subtype=encoding)
    else:  # libsndfile garbles stereo MP3 that is written from int16
        soundfile.write(file, samples / 32_768, rate, format=container, subtype=encoding)
    return file.getvalue()


def without_info(mp3: bytes) -> bytes:
    """Return the MP3 without the encoder's first frame."""
    return mp3[mp3.index(mp3[:2], 4) :]


def id3v2(size: int) -> bytes:
    """Return an ID3 tag with a picture of noise."""
    picture = np.random.default_rng(20).integers(0, 255, size - 10, dtype=np.uint8).tobytes()
    body = b"APIC" + struct.pack(">I", len(picture)) + bytes(2) + picture
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 127 for shift in (21, 14, 7, 0)) + body


def id3v1() -> bytes:
    return b"TAG".ljust(128, b" ")


def wav(pcm: bytes, rate: int, channels: int = 1, length: int | None = None) -> bytes:
    """Return a WAV; `length` is stated instead of its own."""
    length = len(pcm) if length is None else length
    riff = min(36 + length, 0xFFFF_FFFF)
    layout = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + layout
    return head + b"data" + struct.pack("<I", length) + pcm


def encode_by_ffmpeg(
    samples: npt.NDArray[np.int16], rate: int, codec: str, container: str
) -> bytes:
    """Return mono samples in a format that libsndfile does not write."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as sink:
        stream = sink.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate = rate
        context = stream.codec_context
        resampler = av.AudioResampler(
            context.format, context.layout, context.sample_rate, context.frame_size or None
        )
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            sink.mux(stream.encode(part))
        sink.mux(stream.encode(None))
    return file.getvalue()
