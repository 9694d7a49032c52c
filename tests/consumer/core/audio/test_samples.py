from __future__ import annotations

import base64
import io
import itertools
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.samples import from_float, mono, to_float, unpack
from consumer.core.audio.windows import Framer, window_at, window_start
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

ALL_BYTES = bytes(range(256))
RATES = st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]) | st.integers(
    8_000, 48_000
)
WINDOWS_MS = st.sampled_from([20, 32])


def samples(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32_768, 32_768, count, np.int16)


@pytest.mark.parametrize(
    ("codec", "subtype"), [(AudioCodec.PCM_MULAW, "ULAW"), (AudioCodec.PCM_ALAW, "ALAW")]
)
def test_g711_equals_libsndfile_for_every_byte(codec: AudioCodec, subtype: str):
    oracle, _ = soundfile.read(
        io.BytesIO(ALL_BYTES),
        dtype="int16",
        format="RAW",
        subtype=subtype,
        channels=1,
        samplerate=8000,
    )
    assert unpack(ALL_BYTES, codec, 1)[:, 0].tolist() == oracle.tolist()


def test_s16le_is_little_endian_and_interleaved():
    unpacked = unpack(bytes([1, 0, 0, 1, 0xFF, 0xFF, 0, 0x80]), AudioCodec.PCM_S16LE, 2)
    assert unpacked.tolist() == [[1, 256], [-1, -32_768]]


def test_f32le_is_rounded_and_clipped():
    payload = np.array([0, 0.5, 1, -1, 7, -3e38, 1.6 / 32_768], "<f4").tobytes()
    unpacked = unpack(payload, AudioCodec.PCM_F32LE, 1)
    assert unpacked[:, 0].tolist() == [0, 16_384, 32_767, -32_768, 32_767, -32_768, 2]


@given(st.lists(st.integers(-32_768, 32_767)))
def test_int16_is_unchanged_by_conversion_to_float_and_back(values: list[int]):
    assert from_float(to_float(np.array(values, np.int16))).tolist() == values


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_not_finite_is_rejected(bad: float):
    with pytest.raises(WireError, match="not a number") as error:
        unpack(np.array([0, bad], "<f4").tobytes(), AudioCodec.PCM_F32LE, 1)
    assert error.value.reason is Reason.BAD_PAYLOAD


@pytest.mark.parametrize(
    ("codec", "channels", "size"),
    [
        (AudioCodec.PCM_S16LE, 1, 3),
        (AudioCodec.PCM_S16LE, 2, 6),
        (AudioCodec.PCM_F32LE, 1, 5),
        (AudioCodec.PCM_MULAW, 2, 1),
    ],
)
def test_a_truncated_payload_is_rejected(codec: AudioCodec, channels: int, size: int):
    with pytest.raises(WireError, match="inside a sample") as error:
        unpack(bytes(size), codec, channels)
    assert error.value.reason is Reason.BAD_PAYLOAD


TONE = np.rint(np.sin(np.arange(400) * 0.2) * 9_000).astype(np.int16)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"event": "media", "payload": "AAAA"}', "JSON"),
        (base64.b64encode(TONE.tobytes()) + b"\n", "base64"),
        (b"RIFF\x24\0\0\0WAVE" + bytes(401), "codec=wav"),
        (b"ID3\x04\0" + bytes(396), "codec=mp3"),
        (TONE.tobytes()[:-1], "whole multiples of 2 bytes"),
        (TONE.tobytes()[1:], "whole multiples of 2 bytes"),  # cut inside a sample: not swapped
    ],
)
def test_the_rejection_of_a_truncated_payload_names_what_it_looks_like(payload: bytes, words: str):
    assert len(payload) % 2
    with pytest.raises(WireError, match="inside a sample") as error:
        unpack(payload, AudioCodec.PCM_S16LE, 1)
    assert words in str(error.value)
    assert str(error.value).isprintable()


def test_an_empty_payload_has_no_samples():
    assert unpack(b"", AudioCodec.PCM_S16LE, 2).shape == (0, 2)


def test_stereo_is_mixed_without_overflow():
    both = np.array([[32_767, 32_767], [-32_768, -32_768], [100, -50]], np.int16)
    assert mono(both).samples.tolist() == [32_767, -32_768, 25]
    assert mono(both[:, :1]).samples.tolist() == [32_767, -32_768, 100]


@given(st.integers(0, 10**9), WINDOWS_MS, RATES)
def test_a_window_starts_at_the_floor_of_its_exact_time(window: int, window_ms: int, rate: int):
    start = window_start(window, window_ms, rate)
    assert start == int(Fraction(window * window_ms, 1000) * rate)
    assert window_at(start, window_ms, rate) == window
    assert window_at(start - 1, window_ms, rate) == window - 1


@given(st.lists(st.integers(0, 3_000), max_size=12), WINDOWS_MS, RATES, st.sampled_from([0, 4]))
def test_windows_do_not_depend_on_the_chunking(
    sizes: list[int], window_ms: int, rate: int, context_ms: int
):
    audio = samples(sum(sizes))
    framer = Framer(window_ms, rate, context_ms)
    bounds = itertools.pairwise(itertools.accumulate(sizes, initial=0))
    windows = [window for start, end in bounds for window in framer.push(audio[start:end])]

    assert len(windows) == window_at(len(audio), window_ms, rate)
    context = context_ms * rate // 1000
    padded = np.concatenate((np.zeros(context, np.int16), audio))
    for index, window in enumerate(windows):
        start, end = (window_start(index + step, window_ms, rate) for step in (0, 1))
        assert np.array_equal(window, padded[start : context + end])
