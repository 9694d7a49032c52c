from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.audio import AudioCodec
from schemas.codec_names import CODEC_ALIASES, CodecName, codec_name, parse_codec
from schemas.errors import Reason, WireError


@pytest.mark.parametrize("codec", AudioCodec)
def test_ffmpegs_names_are_understood_in_any_case(codec: AudioCodec) -> None:
    for name in (codec.value, codec.value.upper(), codec.value.title()):
        assert codec_name(name.encode()) == CodecName(codec)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        *(("LINEAR16", AudioCodec.PCM_S16LE, None), ("pcm16", AudioCodec.PCM_S16LE, None)),
        *(("s16le", AudioCodec.PCM_S16LE, None), ("S16_LE", AudioCodec.PCM_S16LE, None)),
        *(("float32", AudioCodec.PCM_F32LE, None), ("f32le", AudioCodec.PCM_F32LE, None)),
        *(("mulaw", AudioCodec.PCM_MULAW, None), ("ulaw", AudioCodec.PCM_MULAW, None)),
        *(("audio/x-mulaw", AudioCodec.PCM_MULAW, None), ("alaw", AudioCodec.PCM_ALAW, None)),
        *(("PCMU", AudioCodec.PCM_MULAW, 8_000), ("g711u", AudioCodec.PCM_MULAW, 8_000)),
        *(("g711_ulaw", AudioCodec.PCM_MULAW, 8_000), ("audio/basic", AudioCodec.PCM_MULAW, 8_000)),
        *(("PCMA", AudioCodec.PCM_ALAW, 8_000), ("g711a", AudioCodec.PCM_ALAW, 8_000)),
        *(("OGG_OPUS", AudioCodec.OPUS, None), ("audio/mpeg", AudioCodec.MP3, None)),
        ("audio/ogg; codecs=opus", AudioCodec.OPUS, None),
    ],
)
def test_names_of_other_systems_are_understood(
    name: str, codec: AudioCodec, rate: int | None
) -> None:
    assert codec_name(name.encode()) == CodecName(codec, rate)
    assert parse_codec(name) is codec


@pytest.mark.parametrize(
    "name",
    [
        *(b"pcm", b"raw", b"s16", b"int16", b"g711", b"ogg", b"audio/ogg", b"audio/opus", b""),
        *(b"g722", b"aac", b"\xff", b"audio/basic;rate=16000", b"pcm_s24le", b"pcm_u8"),
    ],
)
def test_a_name_that_states_no_codec_is_rejected_with_those_understood(name: bytes) -> None:
    with pytest.raises(WireError) as raised:
        codec_name(name)
    assert raised.value.reason is Reason.UNKNOWN_CODEC
    message = str(raised.value)
    assert all(known in message for known in (*AudioCodec, *CODEC_ALIASES))
    assert message.isprintable()
    assert len(message) < 1_000


@pytest.mark.parametrize("name", [b"L16", b"audio/L16", b"audio/L16; rate=8000", b"pcm_s16be"])
def test_big_endian_samples_are_rejected_and_named_so(name: bytes) -> None:
    with pytest.raises(WireError, match="big-endian") as raised:
        codec_name(name)
    assert raised.value.reason is Reason.UNKNOWN_CODEC
    assert "swap the two bytes" in str(raised.value)


def test_another_name_is_no_name_of_ffmpeg() -> None:
    assert not CODEC_ALIASES.keys() & set(AudioCodec)
    assert all(name == name.lower().replace(" ", "") for name in CODEC_ALIASES)


@given(st.binary())
def test_arbitrary_bytes_raise_only_wire_errors(name: bytes) -> None:
    with suppress(WireError):
        assert codec_name(name).codec in AudioCodec
