"""Hints on payloads that are not what their headers state."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.format_hints import hints
from consumer.core.audio.samples import mono, unpack
from consumer.core.audio.utterance import Int16Array
from schemas.audio import AudioCodec

RNG = np.random.default_rng(1)
TONE = np.rint(np.sin(np.arange(1_600) * 0.2) * 9_000).astype(np.int16)
NOISE = RNG.integers(-9_000, 9_000, 1_600).astype(np.int16)


def kinds(payload: bytes, codec: AudioCodec) -> list[str]:
    return [hint.message for hint in hints(payload, codec, cancelled=False)]


@pytest.mark.parametrize(
    ("payload", "codec", "words"),
    [
        ((TONE / 32_768).astype("<f4").tobytes(), AudioCodec.PCM_S16LE, "codec=pcm_f32le"),
        (TONE.astype("<f4").tobytes(), AudioCodec.PCM_F32LE, "divide them by 32768"),
        (b"RIFF\x24\0\0\0WAVE" + bytes(400), AudioCodec.PCM_S16LE, "codec=wav"),
        (b"fLaC" + bytes(400), AudioCodec.PCM_S16LE, "codec=flac"),
        (b"OggS" + bytes(400), AudioCodec.PCM_MULAW, "codec=opus"),
        (b"ID3\x04\0" + bytes(400), AudioCodec.PCM_ALAW, "codec=mp3"),
        (bytes((0, 0, 0, 32)) + b"ftypM4A " + bytes(400), AudioCodec.PCM_S16LE, "MP4"),
        (gzip.compress(TONE.tobytes()), AudioCodec.PCM_S16LE, "gzip"),
        (b"data:audio/wav;base64," + base64.b64encode(b"RIFF" * 99), AudioCodec.PCM_S16LE, "URL"),
        (json.dumps(TONE.tolist()).encode(), AudioCodec.PCM_S16LE, "JSON"),
        (TONE.astype(">i2").tobytes(), AudioCodec.PCM_S16LE, "big-endian"),
        (b"\x1aE\xdf\xa3" + bytes(400), AudioCodec.PCM_S16LE, "WebM"),
        (json.dumps({"event": "media"}).encode(), AudioCodec.PCM_MULAW, "JSON"),
        (base64.b64encode(TONE.tobytes()), AudioCodec.PCM_MULAW, "base64"),
        (base64.urlsafe_b64encode(TONE.tobytes()), AudioCodec.PCM_MULAW, "base64"),
    ],
)
def test_another_format_is_named(payload: bytes, codec: AudioCodec, words: str):
    (message,) = kinds(payload, codec)
    assert words in message
    assert f"it is read as {codec}" in message


@given(st.lists(st.integers(-32_768, 32_767), min_size=64, max_size=400))
def test_no_16_bit_samples_look_like_floats(samples: list[int]):
    """Samples of speech change: only a loud constant has the bits of floats."""
    payload = (np.array(samples, np.int16) + np.arange(len(samples)) % 5 * 4_000).astype("<i2")
    assert not [m for m in kinds(payload.tobytes(), AudioCodec.PCM_S16LE) if "floats" in m]


@pytest.mark.parametrize("samples", [TONE, NOISE, np.zeros(800, np.int16), TONE // 1000])
def test_good_audio_has_no_hint(samples: Int16Array):
    floats = (samples / 32_768).astype("<f4").tobytes()
    assert kinds(samples.astype("<i2").tobytes(), AudioCodec.PCM_S16LE) == []
    assert kinds(floats, AudioCodec.PCM_F32LE) == []
    assert kinds(NOISE.astype(np.uint8).tobytes(), AudioCodec.PCM_MULAW) == []


def g711(samples: Int16Array, codec: AudioCodec) -> bytes:
    """Return the codes of the nearest samples."""
    codes = unpack(bytes(range(256)), codec, 1)[:, 0]
    order = np.argsort(codes, kind="stable")
    middles = (codes[order][1:].astype(int) + codes[order][:-1]) // 2
    return order[np.searchsorted(middles, samples)].astype(np.uint8).tobytes()


SPEECH = sorted((Path(__file__).parents[4] / "samples").glob("*.flac"))
ENCODERS: dict[AudioCodec, Callable[[Int16Array], bytes]] = {
    AudioCodec.PCM_S16LE: lambda samples: samples.astype("<i2").tobytes(),
    AudioCodec.PCM_F32LE: lambda samples: (samples / 32_768).astype("<f4").tobytes(),
    AudioCodec.PCM_MULAW: partial(g711, codec=AudioCodec.PCM_MULAW),
    AudioCodec.PCM_ALAW: partial(g711, codec=AudioCodec.PCM_ALAW),
}


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("chunk_ms", [20, 100])
@pytest.mark.parametrize("level_db", [0, -20, -40])
def test_no_record_of_speech_has_a_hint(codec: AudioCodec, chunk_ms: int, level_db: int):
    """Some frames of G.711 begin as JSON does, and its silence is one letter of base64."""
    for clip in SPEECH:
        samples, rate = soundfile.read(clip, dtype="int16", always_2d=True)
        quiet = np.rint(samples[:, 0] * 10 ** (level_db / 20)).astype(np.int16)
        step = chunk_ms * rate // 1000
        for at in range(0, len(quiet), step):
            assert kinds(ENCODERS[codec](quiet[at : at + step]), codec) == []


@pytest.mark.parametrize("codec", [AudioCodec.PCM_MULAW, AudioCodec.PCM_ALAW])
@pytest.mark.parametrize("amplitude", [3, 30, 300, 3_000])
def test_no_noise_in_g711_has_a_hint(codec: AudioCodec, amplitude: int):
    noise = np.rint(RNG.normal(0, amplitude, (5_000, 160))).clip(-32_768, 32_767)
    for frame in noise.astype(np.int16):
        assert kinds(ENCODERS[codec](frame), codec) == []


@pytest.mark.parametrize("gain", [-1.0, -0.9])
def test_where_channels_cancel_the_louder_one_is_used(gain: float):
    samples = np.stack([TONE, np.rint(gain * TONE).astype(np.int16)], axis=1)
    (hint,) = hints(b"", AudioCodec.PCM_S16LE, cancelled=mono(samples).cancelled)
    assert hint.kind == "channels"
    assert np.array_equal(mono(samples).samples, TONE)


@pytest.mark.parametrize("other", [TONE, NOISE, np.zeros_like(TONE), np.roll(TONE, 7)])
def test_other_channels_are_mixed(other: Int16Array):
    samples = np.stack([TONE, other], axis=1)
    assert hints(b"", AudioCodec.PCM_S16LE, cancelled=mono(samples).cancelled) == ()
    assert np.array_equal(mono(samples).samples, (TONE.astype(int) + other) // 2)
