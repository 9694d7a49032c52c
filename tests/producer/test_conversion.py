from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from producer.conversion import Converter, Int16Array, encoded, wire_format
from producer.formats import AudioFormat
from schemas.audio import MAX_RATE, MIN_RATE, AudioCodec

LOSSLESS = [AudioCodec.PCM_S16LE, AudioCodec.FLAC, AudioCodec.WAV]


def tone(seconds: float, rate: int, channels: int = 1) -> Int16Array:
    wave = 12_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.int16)[:, None], channels, axis=1)


@given(st.integers(1, 400_000), st.integers(1, 16), st.sampled_from(AudioCodec))
def test_every_format_is_converted_to_one_that_the_wire_allows(
    rate: int, channels: int, codec: AudioCodec
) -> None:
    wire = wire_format(AudioFormat(rate, channels), codec)
    assert MIN_RATE <= wire.rate <= MAX_RATE
    assert wire.channels in {1, 2}
    assert wire.rate >= min(rate, MAX_RATE)


@pytest.mark.parametrize(
    ("source", "codec", "wire"),
    [
        ((44_100, 2), AudioCodec.PCM_S16LE, (44_100, 2)),
        ((8_000, 1), AudioCodec.FLAC, (8_000, 1)),
        ((96_000, 6), AudioCodec.FLAC, (48_000, 1)),
        ((4_000, 1), AudioCodec.PCM_S16LE, (8_000, 1)),
        ((44_100, 2), AudioCodec.OPUS, (48_000, 2)),
        ((22_050, 1), AudioCodec.OPUS, (24_000, 1)),
        ((9_600, 1), AudioCodec.MP3, (11_025, 1)),
    ],
)
def test_the_wire_format_is_the_nearest_that_the_codec_supports(
    source: tuple[int, int], codec: AudioCodec, wire: tuple[int, int]
) -> None:
    assert wire_format(AudioFormat(*source), codec) == AudioFormat(*wire)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("codec", [codec for codec in AudioCodec if codec.self_describing])
def test_a_payload_decodes_on_its_own_to_its_samples(codec: AudioCodec, channels: int) -> None:
    # Long enough for Opus to settle; its phase error is tolerated.
    samples = tone(0.5, 16_000, channels)
    decoded, rate = soundfile.read(
        io.BytesIO(encoded(samples, 16_000, codec)), dtype="int16", always_2d=True
    )
    assert rate == 16_000
    assert decoded.shape == samples.shape
    noise = decoded.astype(float) - samples
    assert noise.std() <= (0 if codec in LOSSLESS else 0.1 * samples.std())


def test_pcm_codecs_have_no_container() -> None:
    samples = np.array([[0], [1], [-32_768], [32_767]], np.int16)
    assert encoded(samples, 8_000, AudioCodec.PCM_S16LE) == samples.astype("<i2").tobytes()
    floats = np.frombuffer(encoded(samples, 8_000, AudioCodec.PCM_F32LE), "<f4")
    np.testing.assert_array_equal(floats, samples[:, 0] / 32_768)
    # The code of silence in G.711.
    assert encoded(samples, 8_000, AudioCodec.PCM_MULAW)[0] == 0xFF
    assert encoded(samples, 8_000, AudioCodec.PCM_ALAW)[0] == 0xD5


@pytest.mark.parametrize("codec", AudioCodec)
def test_no_samples_are_encoded_as_no_bytes(codec: AudioCodec) -> None:
    assert encoded(np.empty((0, 1), np.int16), 16_000, codec) == b""


@given(st.lists(st.integers(-32_768, 32_767)))
def test_sixteen_bit_samples_are_unchanged(values: list[int]) -> None:
    samples = np.array(values, np.int16).reshape(-1, 1)
    converter = Converter(AudioFormat(16_000, 1), AudioFormat(16_000, 1))
    np.testing.assert_array_equal(converter.convert(samples / np.float32(32_768)), samples)
    assert converter.finish().shape == (0, 1)


def test_samples_above_full_scale_are_clipped() -> None:
    converter = Converter(AudioFormat(16_000, 1), AudioFormat(16_000, 1))
    loud = np.array([[1.5], [-1.5]], np.float32)
    assert converter.convert(loud).tolist() == [[32_767], [-32_768]]


@pytest.mark.parametrize("block", [100, 9_600, 96_000])
def test_resampling_keeps_length_and_pitch_for_any_block_size(block: int) -> None:
    source, wire = AudioFormat(96_000, 6), AudioFormat(48_000, 1)
    samples = (tone(1.0, 96_000, 6) / 32_768).astype(np.float32)
    converter = Converter(source, wire)
    parts = [converter.convert(samples[at : at + block]) for at in range(0, 96_000, block)]
    resampled = np.concatenate([*parts, converter.finish()])
    assert len(resampled) == pytest.approx(48_000, abs=1)
    middle = slice(1_000, 47_000)
    np.testing.assert_allclose(resampled[middle], tone(1.0, 48_000)[middle], atol=60)
