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


def refused(
    payload: bytes, codec: AudioCodec, rate: int | None = None, channels: int | None = None
) -> Reason:
    with pytest.raises(WireError) as error:
        decode(payload, codec, rate, channels)
    return error.value.reason


def without_length(flac: bytes) -> bytes:
    """The same FLAC as an encoder writes it to a pipe: STREAMINFO's 36-bit total is 0."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


@pytest.mark.parametrize("codec", CONTAINERS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_the_payload_says_rate_and_channels(codec: AudioCodec, rate: int, channels: int):
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
def test_raw_audio_is_what_the_headers_say(codec: AudioCodec, payload: bytes):
    pcm = decode(payload, codec, 8_000, 2)
    assert pcm.rate == 8_000
    assert pcm.samples.tolist() == [[256, -2]]


def test_a_sample_of_this_repository_decodes_in_full():
    clip = json.loads((SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()[0])
    pcm = decode((SAMPLES / clip["file"]).read_bytes(), AudioCodec.FLAC, None, None)
    assert len(pcm.samples) / pcm.rate == pytest.approx(clip["seconds"], abs=0.005)


def test_a_flac_from_a_pipe_decodes_in_full():
    audio = tone(2.3)
    pcm = decode(without_length(encode(AudioCodec.FLAC, audio)), AudioCodec.FLAC, None, None)
    assert np.array_equal(pcm.samples, audio)


@pytest.mark.parametrize("codec", CONTAINERS)
def test_headers_that_agree_are_welcome_and_others_are_not(codec: AudioCodec):
    payload = encode(codec, tone())
    assert decode(payload, codec, 16_000, 1).rate == 16_000
    assert refused(payload, codec, None, 2) is Reason.FORMAT_CONTRADICTION
    if codec is not AudioCodec.OPUS:
        assert refused(payload, codec, 8_000, None) is Reason.FORMAT_CONTRADICTION


def test_opus_has_no_rate_to_contradict():
    payload = encode(AudioCodec.OPUS, tone())
    assert decode(payload, AudioCodec.OPUS, 48_000, 1).rate == 16_000


@pytest.mark.parametrize("codec", CONTAINERS)
def test_another_format_inside_is_refused(codec: AudioCodec):
    other = AudioCodec.OPUS if codec is AudioCodec.VORBIS else AudioCodec.VORBIS
    assert refused(encode(other, tone()), codec) is Reason.FORMAT_CONTRADICTION


@pytest.mark.parametrize("codec", CONTAINERS)
@pytest.mark.parametrize("payload", [b"", b"no audio at all", bytes(3_000)])
def test_junk_is_refused(codec: AudioCodec, payload: bytes):
    assert refused(payload, codec) is Reason.BAD_PAYLOAD


@pytest.mark.parametrize("codec", [AudioCodec.FLAC, AudioCodec.MP3, AudioCodec.VORBIS])
def test_half_a_file_is_refused(codec: AudioCodec, capfd: pytest.CaptureFixture[str]):
    payload = encode(codec, tone(3))
    assert refused(payload[: len(payload) // 2], codec) is Reason.BAD_PAYLOAD


def test_a_header_without_audio_is_refused():
    assert refused(encode(AudioCodec.WAV, tone(0)), AudioCodec.WAV) is Reason.BAD_PAYLOAD


def test_a_wav_of_floats_that_are_no_numbers_is_refused():
    file = io.BytesIO()
    soundfile.write(file, np.array([0, np.nan]), 16_000, format="WAV", subtype="FLOAT")
    assert refused(file.getvalue(), AudioCodec.WAV) is Reason.BAD_PAYLOAD


@pytest.mark.parametrize("rate", [4_000, 96_000])
def test_absurd_rates_are_refused(rate: int):
    assert refused(encode(AudioCodec.WAV, tone(), rate), AudioCodec.WAV) is Reason.RATE_OUT_OF_RANGE
    assert refused(bytes(2), AudioCodec.PCM_S16LE, rate, 1) is Reason.RATE_OUT_OF_RANGE


@pytest.mark.parametrize("channels", [3, 64])
def test_many_channels_are_refused(channels: int):
    payload = encode(AudioCodec.WAV, tone(0.1, channels=channels))
    assert refused(payload, AudioCodec.WAV) is Reason.CHANNELS_OUT_OF_RANGE
    raw = refused(bytes(2 * channels), AudioCodec.PCM_S16LE, 16_000, channels)
    assert raw is Reason.CHANNELS_OUT_OF_RANGE


def test_the_longest_record_passes_and_one_sample_more_does_not():
    longest = bytes(2 * 60 * 8_000)
    assert len(decode(longest, AudioCodec.PCM_S16LE, 8_000, 1).samples) == 60 * 8_000
    assert refused(longest + bytes(2), AudioCodec.PCM_S16LE, 8_000, 1) is Reason.TOO_LONG


@pytest.mark.parametrize("disguise", [bytes, without_length])
def test_an_hour_of_silence_in_a_small_flac_is_refused(disguise: type[bytes]):
    bomb = disguise(encode(AudioCodec.FLAC, np.zeros((3_600 * 8_000, 1), np.int16), 8_000))
    assert len(bomb) < MAX_RECORD_BYTES
    assert refused(bomb, AudioCodec.FLAC) is Reason.TOO_LONG


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(CONTAINERS)),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20),
    st.floats(0, 1),
)
def test_a_damaged_payload_is_audio_or_refused_and_nothing_else(
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
