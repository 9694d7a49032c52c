"""Hints that a payload is not what its headers state: one warning for the publisher, no guess.

The audio is decoded as stated. Only the beginning of a payload is examined.
"""

from __future__ import annotations

import re
import string
from typing import Final, NamedTuple

import numpy as np

from consumer.core.audio.utterance import Float32Array, Int16Array
from schemas.audio import AudioCodec

_DECODED: Final = "samples, decoded, or audio in one of the codecs of the wire format"
_CONTAINERS: Final = {  # by number of its group
    1: ("WAV", "codec=wav"),
    2: ("FLAC", "codec=flac"),
    3: ("Ogg", "codec=opus or codec=vorbis"),
    4: ("MP3", "codec=mp3"),
    5: ("WebM", _DECODED),
    6: ("MP4", _DECODED),
    7: ("gzip", _DECODED),
    8: ("a data URL", "the bytes that it holds, decoded"),
}
_MAGIC: Final = re.compile(  # four given bytes or more: raw samples begin so once in billions
    rb"(RIFF....WAVE)|(fLaC)|(OggS\0)|(ID3[\2-\4]\0)|(\x1aE\xdf\xa3)|(....ftyp)"
    rb"|(\x1f\x8b\x08[\0-\x1f])|(data:[a-z]+/)",
    re.DOTALL,
)
_EXAMINED: Final = 256  # bytes of a text
_PRINTABLE: Final = frozenset(string.printable.encode())
_JSON: Final = re.compile(rb"\s*[{\[]\s*[{\[\"0-9-].{12}", re.DOTALL)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{64,}={0,2}\s*")
_DISTINCT: Final = 24  # characters of base64; samples repeat a few values or leave its alphabet
_MIN_BYTES: Final = 256  # of a payload that is examined as samples
_SAMPLES: Final = 256  # examined for their byte order
_ONES: Final = np.ones(_SAMPLES)
_ROUGH, _SMOOTH = 1.1, 0.5  # roughness of noise, and of speech
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


def encoded_format(payload: bytes) -> str | None:
    """Return what a payload that is no samples looks like and what to send, or None."""
    if (magic := _MAGIC.match(payload)) is not None:
        name, right = _CONTAINERS[magic.lastindex or 0]
        return f"the audio looks like {name}: send {right}"
    beginning = payload[:_EXAMINED]
    return _text_problem(beginning) if beginning.isascii() else None


def _other_format(payload: bytes, codec: AudioCodec) -> str | None:
    if (message := encoded_format(payload)) is not None or len(payload) < _MIN_BYTES:
        return message
    match codec:
        case AudioCodec.PCM_F32LE:
            return _amplitude_problem(payload)
        case AudioCodec.PCM_S16LE:
            return _sample_problem(payload)
    return None


def _text_problem(beginning: bytes) -> str | None:
    if _JSON.match(beginning) and all(byte in _PRINTABLE for byte in beginning):
        return "the audio looks like JSON: send the audio bytes that it contains, decoded"
    if len(set(beginning)) >= _DISTINCT and _BASE64.fullmatch(beginning):
        return "the audio looks like base64: send the decoded bytes"
    return None


def _amplitude_problem(payload: bytes) -> str | None:
    """Return the problem of 32-bit floats on the scale of integers."""
    sizes = _float_sizes(payload)
    is_loud = sizes is not None and float(np.median(sizes)) > _LOUDEST
    return "amplitudes are not -1..1: divide them by 32768" if is_loud else None


def _sample_problem(payload: bytes) -> str | None:
    """Return the problem of 16-bit samples that are noise, unless they are floats or swapped."""
    count = min(_SAMPLES, len(payload) // 2)
    if _roughness(np.frombuffer(payload, "<i2", count)) < _ROUGH:
        return None
    sizes = _float_sizes(payload)
    if sizes is not None and sizes.max() <= _LOUDEST and (sizes >= _QUIETEST).mean() > _SHARE:
        return "the audio looks like floats: send codec=pcm_f32le, 32 bits"
    if _roughness(np.frombuffer(payload, ">i2", count)) < _SMOOTH:
        return "the audio looks like big-endian samples: swap the bytes of each"
    return None


def _float_sizes(payload: bytes) -> Float32Array | None:
    """Return the first audible amplitudes of 32-bit floats; None if few or not finite."""
    with np.errstate(invalid="ignore"):
        sizes = np.abs(np.frombuffer(payload, "<f4", _FLOATS))
        audible = sizes[sizes > 0]
        return audible if len(audible) >= _FLOATS // 2 and np.isfinite(sizes).all() else None


def _roughness(samples: Int16Array) -> float:
    """Return the mean step between two samples, of their mean size."""
    wide = samples.astype(np.float64)  # in which the sums are exact
    ones = _ONES[: len(wide)]
    steps, sizes = np.abs(wide[1:] - wide[:-1]), np.abs(wide)
    return float(steps.dot(ones[1:])) / max(1.0, float(sizes.dot(ones)))
