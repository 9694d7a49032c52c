"""Recognise containers by their first bytes: on standard input, all else is raw PCM. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from schemas.mpeg import frame_at

HEAD_BYTES: Final = 16  # that decide, but for formats without a signature
FRAMES_BYTES: Final = 4_608  # that hold three frames of those
_FRAMES: Final = 3
_SIGNATURES: Final = (
    *(b"RIFF", b"RF64", b"BW64", b"riff", b"FORM", b"fLaC", b"OggS", b"ID3", b".snd", b"caff"),
    *(b"#!AMR", b"FLV\x01", b"wvpk", b"MAC ", b"TTA1"),
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # WMA
    b"\0\0\x01\xba",  # MPEG program stream
)
_TRANSPORT_PACKET_BYTES: Final = 188


def may_have_frames(head: bytes) -> bool:
    """Whether more of the input must be known, because it may have frames and no signature."""
    return head[:1] in {b"\xff", b"G"}


def is_container(head: bytes) -> bool:
    return head.startswith(_SIGNATURES) or head[4:8] == b"ftyp" or _has_frames(head)


def needs_seeking(head: bytes) -> bool:
    """Whether it is MP4 whose index may follow the audio."""
    box = int.from_bytes(head[:4])
    return head[4:8] == b"ftyp" and head[box + 4 : box + 8] != b"moov"


def _has_frames(head: bytes) -> bool:
    return any(_follow(head, length) for length in (_mpeg_length, _adts_length, _transport_length))


def _follow(head: bytes, length: Callable[[bytes, int], int]) -> bool:
    """Whether the input begins with some frames of the lengths that their headers state."""
    at = 0
    for _ in range(_FRAMES):
        frame = length(head, at)
        if not frame:
            return False
        at += frame
    return True


def _mpeg_length(head: bytes, at: int) -> int:
    frame = frame_at(head, at)
    return 0 if frame is None else frame.length


def _adts_length(head: bytes, at: int) -> int:
    header = head[at : at + 6]
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    return (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5


def _transport_length(head: bytes, at: int) -> int:
    is_packet = head[at : at + 1] == b"G" and head[at : at + 4 : 2] != b"GG"  # a constant level
    return _TRANSPORT_PACKET_BYTES if is_packet else 0
