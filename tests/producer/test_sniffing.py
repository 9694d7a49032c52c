from __future__ import annotations

import numpy as np
import pytest
from containers import FORMATS, encode, encode_by_ffmpeg, id3v2, speech, without_info
from hypothesis import given
from hypothesis import strategies as st

from producer.sniffing import FRAMES_BYTES, HEAD_BYTES, is_container, may_have_frames, needs_seeking
from schemas.audio import AudioCodec

JFK, RATE = speech(seconds=1.0)


def recognised(data: bytes) -> bool:
    """Return the answer as it is found: from few bytes, and from more where they may matter."""
    return is_container(data[: FRAMES_BYTES if may_have_frames(data[:HEAD_BYTES]) else HEAD_BYTES])


@pytest.mark.parametrize("codec", FORMATS)
def test_containers_are_recognised(codec: AudioCodec) -> None:
    assert recognised(encode(codec, JFK, RATE))


def test_mp3_is_recognised_with_tags_and_without_the_first_frame() -> None:
    mp3 = encode(AudioCodec.MP3, JFK, RATE)
    assert recognised(id3v2(900_000) + mp3)
    assert recognised(without_info(mp3))


@pytest.mark.parametrize("container", ["ipod", "mp4", "matroska", "adts", "mpegts"])
def test_containers_of_ffmpeg_are_recognised(container: str) -> None:
    data = encode_by_ffmpeg(JFK, RATE, "aac", container)
    assert recognised(data)
    assert needs_seeking(data[:FRAMES_BYTES]) == (container in {"ipod", "mp4"})


@given(st.integers(0, 2**32 - 1), st.integers(1, 32_768))
def test_noise_is_raw_pcm(seed: int, loudness: int) -> None:
    samples = np.random.default_rng(seed).integers(-loudness, loudness, 4_000, np.int16)
    assert not recognised(samples.tobytes())


@given(st.integers(-32_768, 32_767), st.integers(0, 10_000))
def test_a_constant_level_is_raw_pcm(level: int, length: int) -> None:
    assert not recognised(np.full(length, level, np.int16).tobytes())
