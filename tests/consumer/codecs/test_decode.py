from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.codecs.decode import decode
from schemas.audio import MAX_RECORD_BYTES, AudioCodec
from schemas.errors import Reason, WireError

SAMPLES = Path(__file__).parents[3] / "samples"
CONTAINERS: dict[AudioCodec, tuple[str, str]] = {
    AudioCodec.FLAC: ("FLAC", "PCM_16"),
    AudioCodec.WAV: ("WAV", "PCM_16"),
    AudioCodec.OPUS: ("OGG", "OPUS"),
    AudioCodec.VORBIS: ("OGG", "VORBIS"),
    AudioCodec.MP3: ("MP3", "MPEG_LAYER_III"),
}
LOSSLESS = (AudioCodec.FLAC, AudioCodec.WAV)


def tone(seconds: float = 0.5, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    wave = np.sin(np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate)) * 12_000
    return np.repeat(wave.astype(np.int16)[:, None], channels, axis=1)


def encode(codec: AudioCodec, audio: np.ndarray, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    kind, subtype = CONTAINERS[codec]
    if codec is AudioCodec.MP3:  # libsndfile garbles stereo MP3 that is written from int16
        audio = audio / 32_768
    soundfile.write(file, audio, rate, format=kind, subtype=subtype)
    return file.getvalue()


def rejected(
    payload: bytes, codec: AudioCodec, rate: int | None = None, channels: int | None = None
) -> Reason:
    with pytest.raises(WireError) as error:
        decode(payload, codec, rate, channels)
    return error.value.reason


def without_length(flac: bytes) -> bytes:
    """Return the FLAC as an encoder writes it to a pipe: STREAMINFO's 36-bit total is 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


@pytest.mark.parametrize("codec", CONTAINERS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_rate_and_channels_are_those_of_the_payload(codec: AudioCodec, rate: int, channels: int):
    audio = tone(0.5, rate, channels)
    pcm = decode(encode(codec, audio, rate), codec, None, None)
    assert pcm.rate == rate
    assert pcm.samples.shape == audio.shape
    assert pcm.samples.dtype == np.int16
    if codec in LOSSLESS:
        assert np.array_equal(pcm.samples, audio)
    else:
        assert np.corrcoef(pcm.samples[:, 0], audio[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        (AudioCodec.PCM_S16LE, np.array([256, -2], "<i2").tobytes()),
        (AudioCodec.PCM_F32LE, np.array([256 / 32_768, -2 / 32_768], "<f4").tobytes()),
    ],
)
def test_raw_audio_has_the_rate_and_channels_of_the_headers(codec: AudioCodec, payload: bytes):
    pcm = decode(payload, codec, 8_000, 2)
    assert pcm.rate == 8_000
    assert pcm.samples.tolist() == [[256, -2]]


def test_a_sample_clip_decodes_completely():
    clip = json.loads((SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()[0])
    pcm = decode((SAMPLES / clip["file"]).read_bytes(), AudioCodec.FLAC, None, None)
    assert len(pcm.samples) / pcm.rate == pytest.approx(clip["seconds"], abs=0.005)


def test_a_flac_of_unknown_length_decodes_completely():
    audio = tone(2.3)
    pcm = decode(without_length(encode(AudioCodec.FLAC, audio)), AudioCodec.FLAC, None, None)
    assert np.array_equal(pcm.samples, audio)


@pytest.mark.parametrize("codec", CONTAINERS)
def test_headers_that_contradict_the_payload_are_rejected(codec: AudioCodec):
    payload = encode(codec, tone())
    assert decode(payload, codec, 16_000, 1).rate == 16_000
    assert rejected(payload, codec, None, 2) is Reason.FORMAT_CONTRADICTION
    if codec is not AudioCodec.OPUS:
        assert rejected(payload, codec, 8_000, None) is Reason.FORMAT_CONTRADICTION


def test_any_rate_header_is_consistent_with_opus():
    payload = encode(AudioCodec.OPUS, tone())
    assert decode(payload, AudioCodec.OPUS, 48_000, 1).rate == 16_000


@pytest.mark.parametrize("codec", CONTAINERS)
def test_a_payload_of_another_format_is_rejected(codec: AudioCodec):
    other = AudioCodec.OPUS if codec is AudioCodec.VORBIS else AudioCodec.VORBIS
    assert rejected(encode(other, tone()), codec) is Reason.FORMAT_CONTRADICTION


@pytest.mark.parametrize("codec", CONTAINERS)
@pytest.mark.parametrize("payload", [b"", b"no audio at all", bytes(3_000)])
def test_a_payload_without_audio_is_rejected(codec: AudioCodec, payload: bytes):
    assert rejected(payload, codec) is Reason.BAD_PAYLOAD


@pytest.mark.parametrize("codec", [AudioCodec.FLAC, AudioCodec.MP3, AudioCodec.VORBIS])
def test_a_truncated_payload_is_rejected(codec: AudioCodec, capfd: pytest.CaptureFixture[str]):
    payload = encode(codec, tone(3))
    assert rejected(payload[: len(payload) // 2], codec) is Reason.BAD_PAYLOAD


def test_a_file_without_samples_is_rejected():
    assert rejected(encode(AudioCodec.WAV, tone(0)), AudioCodec.WAV) is Reason.BAD_PAYLOAD


def test_a_wav_with_nan_is_rejected():
    file = io.BytesIO()
    soundfile.write(file, np.array([0, np.nan]), 16_000, format="WAV", subtype="FLOAT")
    assert rejected(file.getvalue(), AudioCodec.WAV) is Reason.BAD_PAYLOAD


@pytest.mark.parametrize("rate", [4_000, 96_000])
def test_rates_out_of_range_are_rejected(rate: int):
    assert (
        rejected(encode(AudioCodec.WAV, tone(), rate), AudioCodec.WAV) is Reason.RATE_OUT_OF_RANGE
    )
    assert rejected(bytes(2), AudioCodec.PCM_S16LE, rate, 1) is Reason.RATE_OUT_OF_RANGE


@pytest.mark.parametrize("channels", [3, 64])
def test_more_than_two_channels_are_rejected(channels: int):
    payload = encode(AudioCodec.WAV, tone(0.1, channels=channels))
    assert rejected(payload, AudioCodec.WAV) is Reason.CHANNELS_OUT_OF_RANGE
    raw = rejected(bytes(2 * channels), AudioCodec.PCM_S16LE, 16_000, channels)
    assert raw is Reason.CHANNELS_OUT_OF_RANGE


def test_a_record_may_last_60_s_and_no_sample_more():
    longest = bytes(2 * 60 * 8_000)
    assert len(decode(longest, AudioCodec.PCM_S16LE, 8_000, 1).samples) == 60 * 8_000
    assert rejected(longest + bytes(2), AudioCodec.PCM_S16LE, 8_000, 1) is Reason.TOO_LONG


@pytest.mark.parametrize("disguise", [bytes, without_length])
def test_an_hour_of_silence_in_a_small_flac_is_rejected(disguise: type[bytes]):
    bomb = disguise(encode(AudioCodec.FLAC, np.zeros((3_600 * 8_000, 1), np.int16), 8_000))
    assert len(bomb) < MAX_RECORD_BYTES
    assert rejected(bomb, AudioCodec.FLAC) is Reason.TOO_LONG


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(CONTAINERS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_a_damaged_payload_is_decoded_or_rejected(
    codec: AudioCodec, damage: list[tuple[float, int]], kept: float
):
    payload = bytearray(encode(codec, tone(0.2)))
    for place, value in damage:
        payload[int(place * (len(payload) - 1))] = value
    try:
        pcm = decode(bytes(payload[: int(kept * len(payload))]), codec, None, None)
    except WireError:
        return
    assert pcm.samples.shape[0] > 0
