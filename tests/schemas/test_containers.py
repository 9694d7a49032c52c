"""Frames of MPEG audio, pages of Ogg and chunks of WAV."""

from __future__ import annotations

import pytest
from containers import encode, id3v1, id3v2, speech, wav
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import AudioCodec
from schemas.mpeg import after_tags, frame_at, info_at, next_frame
from schemas.ogg import after_page, ends_within_page
from schemas.riff import DataChunk, data_chunk, is_wav, next_wav, pcm16_format

JFK, RATE = speech(seconds=2.0)


@pytest.mark.parametrize(
    ("header", "length", "samples", "rate"),
    [
        ("fffb9064", 417, 1_152, 44_100),  # version 1, layer III, 128 kbit/s
        ("fffb9264", 418, 1_152, 44_100),  # padded
        ("fff388c4", 288, 576, 16_000),  # version 2, layer III, 64 kbit/s
        ("ffe318c4", 72, 576, 8_000),  # version 2.5, layer III, 8 kbit/s
        ("fffd8004", 417, 1_152, 44_100),  # layer II, 128 kbit/s
        ("ffff4004", 136, 384, 44_100),  # layer I, 128 kbit/s
    ],
)
def test_the_length_of_a_frame(header: str, length: int, samples: int, rate: int) -> None:
    frame = frame_at(bytes.fromhex(header), 0)
    assert frame is not None
    assert (frame.length, frame.samples, frame.rate) == (length, samples, rate)


@pytest.mark.parametrize("header", ["fffb0064", "fffbf064", "fffb9c64", "ffeb9064", "fff99064"])
def test_a_reserved_or_free_value_is_no_frame(header: str) -> None:
    assert frame_at(bytes.fromhex(header), 0) is None


def test_the_frames_of_a_file_follow_each_other() -> None:
    mp3 = encode(AudioCodec.MP3, JFK, RATE)
    at = count = 0
    first = frame_at(mp3, 0)
    assert first is not None
    info = info_at(mp3, 0, first)
    while (frame := frame_at(mp3, at)) is not None:
        at, count = at + frame.length, count + 1
    assert at == len(mp3)
    assert info is not None
    assert info.frames == count - 1


def test_tags_are_skipped_if_they_are_whole() -> None:
    tags = id3v2(1_000) + id3v1()
    assert after_tags(tags + b"\xff", 0) == len(tags)
    assert after_tags(tags[:900], 0) == 0


@given(st.binary(max_size=200), st.integers(0, 200))
def test_the_search_for_a_frame_ends(data: bytes, at: int) -> None:
    found = next_frame(data, at)
    assert found == len(data) or frame_at(data, found) is not None


def test_the_pages_of_an_ogg_file() -> None:
    ogg = encode(AudioCodec.VORBIS, JFK, RATE)
    at = 0
    while at < len(ogg):
        after = after_page(ogg, at)
        assert after is not None
        at = after
    assert at == len(ogg)
    assert not ends_within_page(ogg)
    assert ends_within_page(ogg[:-1])
    assert not ends_within_page(b"")


@given(st.binary(min_size=2, max_size=100), st.integers(8_000, 48_000), st.integers(1, 2))
def test_the_samples_of_a_wav(pcm: bytes, rate: int, channels: int) -> None:
    data = wav(pcm, rate, channels)
    assert is_wav(data)
    assert data_chunk(data) == DataChunk(44, len(pcm))
    assert pcm16_format(data[:44]) == (rate, channels)
    assert next_wav(data + data, len(data)) == len(data)


@given(st.binary(max_size=100))
def test_any_bytes_have_samples_or_none(data: bytes) -> None:
    head = b"RIFF\0\0\0\0WAVE"
    for value in (data, head + data, head + b"fmt " + data):
        data_chunk(value)
        next_wav(value, 0)
        pcm16_format(value)
