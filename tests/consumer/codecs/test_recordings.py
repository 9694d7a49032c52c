"""Containers whose length is unknown, estimated or only that of the first of their recordings."""

from __future__ import annotations

import numpy as np
import pytest
from containers import FORMATS, NO_LENGTHS, encode, id3v1, id3v2, speech, wav, without_info
from hypothesis import given
from hypothesis import strategies as st

from consumer.codecs.decode import decode
from consumer.codecs.recordings import recordings
from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError

JFK, RATE = speech()
SHORT = JFK[: RATE * 2]
MP3 = encode(AudioCodec.MP3, SHORT)
PADDING = 2 * 1_152  # samples that an MP3 encoder adds, which only its first frame states


def length(payload: bytes, codec: AudioCodec) -> int:
    return len(decode(payload, codec, None, None).samples)


def rejection(payload: bytes, codec: AudioCodec) -> WireError:
    with pytest.raises(WireError) as error:
        decode(payload, codec, None, None)
    return error.value


@pytest.mark.parametrize("codec", FORMATS)
def test_joined_recordings_decode_to_the_last_sample(codec: AudioCodec):
    parts = [encode(codec, part) for part in (SHORT, JFK[RATE * 2 :])]
    expected = [decode(part, codec, None, None).samples for part in parts]
    joined = decode(b"".join(parts), codec, None, None)
    assert len(joined.samples) == len(JFK)
    assert np.array_equal(joined.samples, np.concatenate(expected))


@pytest.mark.parametrize("codec", FORMATS)
def test_joined_recordings_of_different_formats_are_rejected(codec: AudioCodec):
    error = rejection(encode(codec, SHORT) + encode(codec, SHORT, 8_000), codec)
    assert error.reason is Reason.BAD_PAYLOAD
    assert "joins recordings of different rates" in str(error)


@pytest.mark.parametrize("codec", FORMATS)
def test_joined_recordings_are_bounded_together(codec: AudioCodec):
    half = encode(codec, np.zeros(8_000 * 31, np.int16), 8_000)
    assert rejection(half + half, codec).reason is Reason.TOO_LONG


@pytest.mark.parametrize("codec", FORMATS)
def test_a_second_recording_that_is_cut_is_rejected(codec: AudioCodec):
    part = encode(codec, SHORT)
    assert rejection(part + part[: len(part) // 2], codec).reason is Reason.BAD_PAYLOAD


def test_very_many_joined_recordings_are_rejected():
    tiny = wav(b"\1\0", 48_000)
    assert length(tiny * 1_000, AudioCodec.WAV) == 1_000
    assert "more than 1000 recordings" in str(rejection(tiny * 1_001, AudioCodec.WAV))


def test_mp3_without_the_encoders_first_frame_decodes_completely():
    plain = without_info(MP3)
    assert 0 <= length(plain, AudioCodec.MP3) - len(SHORT) <= PADDING
    cover = id3v2(900_000) + plain + id3v1()
    assert length(cover, AudioCodec.MP3) == length(plain, AudioCodec.MP3)


@pytest.mark.parametrize("first", [MP3, without_info(MP3)])
@pytest.mark.parametrize("second", [MP3, without_info(MP3)])
@pytest.mark.parametrize("between", [b"", id3v1(), id3v1() + id3v2(5_000), b"APETAGEX" + bytes(24)])
def test_joined_mp3_with_tags_decodes_completely(first: bytes, second: bytes, between: bytes):
    joined = length(first + between + second, AudioCodec.MP3)
    assert 0 <= joined - 2 * len(SHORT) <= 2 * PADDING


@pytest.mark.parametrize("damage", ["cut", "zeros"])
@pytest.mark.parametrize("mp3", [MP3, without_info(MP3)])
def test_damaged_mp3_is_rejected(mp3: bytes, damage: str):
    middle = len(mp3) // 2
    broken = mp3[:middle] + (b"" if damage == "cut" else bytes(900) + mp3[middle + 900 :])
    error = rejection(broken, AudioCodec.MP3)
    assert error.reason is Reason.BAD_PAYLOAD
    assert "the payload ends after" in str(error)


@pytest.mark.parametrize("stated", NO_LENGTHS)
def test_a_wav_without_length_is_read_to_its_end(stated: int):
    payload = wav(SHORT.tobytes(), RATE, length=stated)
    assert np.array_equal(decode(payload, AudioCodec.WAV, None, None).samples[:, 0], SHORT)


def test_a_cut_wav_is_rejected():
    payload = wav(SHORT.tobytes(), RATE)
    assert "ends after" in str(rejection(payload[:-2], AudioCodec.WAV))


def test_a_wav_without_samples_before_other_chunks_is_rejected():
    payload = wav(b"", RATE) + b"LIST\x04\0\0\0INFO"
    assert rejection(payload, AudioCodec.WAV).reason is Reason.BAD_PAYLOAD


def test_wavs_of_odd_length_are_joined_with_and_without_padding():
    sound = wav(b"", RATE, length=0)[:-4] + (3).to_bytes(4, "little") + b"\x01\x02\x03"
    for joined in (sound + sound, sound + b"\0" + sound, sound + b"\0LIST\x02\0\0\0ab" + sound):
        assert len(list(recordings(joined, AudioCodec.WAV))) == 2


@given(st.sampled_from(list(AudioCodec)), st.binary(max_size=300))
def test_any_payload_is_at_least_one_recording(codec: AudioCodec, payload: bytes):
    assert list(recordings(payload, codec))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=5),
    st.sampled_from([b"", id3v1(), id3v2(100)]),
)
def test_mp3_frames_are_neither_lost_nor_repeated(parts: list[tuple[int, bool]], between: bytes):
    """A part: frames of audio, of which the last differs, after an Info frame or not."""
    frames = [b"\xff\xfb\x10\xc0" + bytes([n] * 100) for n in range(len(parts))]
    info = b"\xff\xfb\x10\xc0" + bytes(17) + b"Info" + bytes(3)
    payload = between.join(
        (info + b"\x01" + (count + 1).to_bytes(4)).ljust(104, b"\0") * stated + frame * (count + 1)
        for frame, (count, stated) in zip(frames, parts, strict=True)
    )
    found = list(recordings(payload, AudioCodec.MP3))
    assert b"".join(part.data for part in found) == payload.replace(between, b"")
    assert all(part.is_complete for part in found)
    assert sum(part.data.startswith(info) for part in found) == sum(stated for _, stated in parts)
