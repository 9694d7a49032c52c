"""Hints that a payload is not what its headers state: one warning for the publisher, no guess.

The audio is decoded as stated. Only the beginning of a payload is examined.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import numpy as np

from schemas.audio import AudioCodec

_MAGIC: Final = (
    (b"RIFF", "WAV", "codec=wav"),
    (b"fLaC", "FLAC", "codec=flac"),
    (b"OggS", "Ogg", "codec=opus or codec=vorbis"),
    (b"ID3", "MP3", "codec=mp3"),
    (b"\x1aE\xdf\xa3", "WebM", "audio in one of the codecs of the wire format"),
)
_JSON: Final = re.compile(rb"\s*[{\[]\s*[{\[\"]")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{64}")
_MIN_BYTES: Final = 256  # of a payload that is examined as floats
_FLOATS: Final = 64  # examined
_LOUDEST: Final = 2.0  # of audio in floats
_QUIETEST: Final = 1e-6  # of most floats that are not zero; pairs of 16-bit samples are below
_SHARE: Final = 0.9

FORMAT, CHANNELS = "format", "channels"


class Hint(NamedTuple):
    kind: str  # a session has one warning of a kind
    message: str


def hints(payload: bytes, codec: AudioCodec, *, cancelled: bool) -> tuple[Hint, ...]:
    """Return what looks wrong with a payload; `cancelled`: its channels cancel each other."""
    found = []
    if not codec.self_describing and (message := _other_format(payload, codec)) is not None:
        found.append(Hint(FORMAT, f"format: {message}; it is read as {codec}"))
    if cancelled:
        message = "channels: they cancel each other, so the louder one is used; send one of them"
        found.append(Hint(CHANNELS, message))
    return tuple(found)


def _other_format(payload: bytes, codec: AudioCodec) -> str | None:
    for magic, name, header in _MAGIC:
        if payload.startswith(magic):
            return f"the audio looks like {name}: send {header}"
    if _JSON.match(payload):
        return "the audio looks like JSON: send the audio bytes that it contains, decoded"
    if _BASE64.match(payload):
        return "the audio looks like base64: send the decoded bytes"
    if len(payload) < _MIN_BYTES:
        return None
    return _float_problem(payload, codec)


def _float_problem(payload: bytes, codec: AudioCodec) -> str | None:
    with np.errstate(invalid="ignore"):
        sizes = np.abs(np.frombuffer(payload, "<f4", _FLOATS))
        audible = sizes[sizes > 0]
        if len(audible) < _FLOATS // 2 or not np.isfinite(sizes).all():
            return None
        if codec is AudioCodec.PCM_F32LE:
            is_loud = float(np.median(audible)) > _LOUDEST
            return "amplitudes are not -1..1: divide them by 32768" if is_loud else None
        is_float = audible.max() <= _LOUDEST and (audible >= _QUIETEST).mean() > _SHARE
        return "the audio looks like 32-bit floats: send codec=pcm_f32le" if is_float else None
