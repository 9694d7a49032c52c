"""Codecs by the names that publishers write: FFmpeg's, and those of other systems.

Only names that state one encoding of the samples are understood. `pcm`, `s16` and `int16` leave the
byte order open, `g711` the law, `ogg` the codec; they are rejected, as a wrong guess is noise.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from schemas.audio import AudioCodec
from schemas.errors import Reason, WireError
from schemas.headers import shown


class CodecName(NamedTuple):
    """What a name states."""

    codec: AudioCodec
    rate: int | None = None  # Hz, where the name is of a standard with one rate


_NAMES: Final = {
    AudioCodec.PCM_S16LE: "linear16 linear_16 pcm16 s16le s16_le",
    AudioCodec.PCM_F32LE: "float32 float32le f32le f32_le float_le",
    AudioCodec.PCM_MULAW: "mulaw ulaw mu-law u-law mu_law audio/mulaw audio/x-mulaw audio/x-ulaw",
    AudioCodec.PCM_ALAW: "alaw a-law a_law audio/alaw audio/x-alaw",
    AudioCodec.FLAC: "audio/flac audio/x-flac",
    AudioCodec.OPUS: "ogg_opus audio/ogg;codecs=opus",
    AudioCodec.VORBIS: "ogg_vorbis audio/ogg;codecs=vorbis",
    AudioCodec.MP3: "audio/mp3 audio/mpeg",
    AudioCodec.WAV: "audio/wav audio/wave audio/x-wav audio/vnd.wave",
}
# ITU-T G.711, RFC 3551 (PCMU, PCMA) and RFC 2046 (audio/basic) state the rate.
_G711_HZ: Final = 8_000
_G711_NAMES: Final = {
    AudioCodec.PCM_MULAW: "pcmu audio/pcmu audio/basic g711u g711_ulaw g711-ulaw g711ulaw",
    AudioCodec.PCM_ALAW: "pcma audio/pcma g711a g711_alaw g711-alaw g711alaw",
}
CODEC_ALIASES: Final = {
    **{name: CodecName(codec) for codec, text in _NAMES.items() for name in text.split()},
    **{n: CodecName(codec, _G711_HZ) for codec, text in _G711_NAMES.items() for n in text.split()},
}
OWN_NAMES: Final = {codec: CodecName(codec) for codec in AudioCodec}
_CODECS: Final = {
    **{codec.value.encode(): stated for codec, stated in OWN_NAMES.items()},
    **{name.encode(): stated for name, stated in CODEC_ALIASES.items()},
}
_BIG_ENDIAN: Final = frozenset(b"l16 audio/l16 linear16be s16be s16_be pcm_s16be".split())


def codec_name(value: bytes) -> CodecName:
    """Return what the value of the header `codec` states; case and blanks do not matter.

    Raises WireError (unknown_codec) with the names that are understood.
    """
    if (exact := _CODECS.get(value)) is not None:
        return exact
    name = value.lower().replace(b" ", b"")
    if (stated := _CODECS.get(name)) is not None:
        return stated
    if name.partition(b";")[0] in _BIG_ENDIAN:
        raise WireError(
            Reason.UNKNOWN_CODEC,
            f"codec {shown(value)} is big-endian (RFC 3551, RFC 2586): swap the two bytes of each "
            f"sample and send {AudioCodec.PCM_S16LE}",
        )
    raise WireError(
        Reason.UNKNOWN_CODEC,
        f"codec {shown(value)}: send one of {', '.join(AudioCodec)}; "
        f"also understood are {', '.join(CODEC_ALIASES)}",
    )


def parse_codec(text: str) -> AudioCodec:
    """Return the codec of a name. Raises WireError, which is a ValueError."""
    return codec_name(text.encode("utf-8", "replace")).codec
