"""Frames of MPEG audio (MP3) and the tags between them. Pure.

ISO/IEC 11172-3 and 13818-3, and the first frame that encoders add with the number of frames
("Xing", "Info" or "VBRI").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

_HEADER_BYTES: Final = 4
_RATES: Final = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
_LOW: Final = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
# Bits of version 1, bits of the layer: kbit/s for the indexes 1 to 14.
_BITRATES: Final = {
    (True, 3): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW,
    (False, 1): _LOW,
}
_SIDE_BYTES: Final = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
_VBRI_AT: Final = 36
_HAS_COUNT: Final = 1  # flag of a Xing or Info frame


class Frame(NamedTuple):
    """The header of a frame."""

    length: int  # bytes, of the header too
    samples: int  # of each channel
    rate: int  # Hz
    is_version_1: bool
    is_mono: bool


@dataclass(frozen=True, slots=True)
class InfoFrame:
    """An encoder's first frame, which holds no audio."""

    frames: int  # that follow; 0: unknown


def frame_at(data: bytes, at: int) -> Frame | None:
    """Return the frame whose header is at this byte, or None; a free bit rate is not supported."""
    header = data[at : at + _HEADER_BYTES]
    if len(header) < _HEADER_BYTES or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    bitrate, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _RATES or not layer or bitrate in {0, 15} or rate == 3:
        return None
    is_version_1, is_mono = version == 3, header[3] >> 6 == 3
    bits = _BITRATES[is_version_1, layer][bitrate - 1] * 1_000
    hertz = _RATES[version][rate]
    if layer == 3:
        return Frame((12 * bits // hertz + padding) * 4, 384, hertz, is_version_1, is_mono)
    samples = 576 if layer == 1 and not is_version_1 else 1_152
    length = samples // 8 * bits // hertz + padding
    return Frame(length, samples, hertz, is_version_1, is_mono)


def info_at(data: bytes, at: int, frame: Frame) -> InfoFrame | None:
    """Return the number of frames that the frame at this byte states, or None if it is audio."""
    if data[at + _VBRI_AT : at + _VBRI_AT + 4] == b"VBRI":
        return InfoFrame(_uint32(data, at + _VBRI_AT + 14))
    side = at + _HEADER_BYTES + _SIDE_BYTES[frame.is_version_1, frame.is_mono]
    for tag in (side, side + 2):  # with a checksum
        if data[tag : tag + 4] in {b"Xing", b"Info"}:
            has_count = _uint32(data, tag + 4) & _HAS_COUNT
            return InfoFrame(_uint32(data, tag + 8) if has_count else 0)
    return None


def after_tags(data: bytes, at: int) -> int:
    """Return the byte after the ID3 and APE tags at this byte, or `at` if there is no whole one."""
    while at < (after := _after_tag(data, at)) <= len(data):
        at = after
    return at


def _after_tag(data: bytes, at: int) -> int:
    if data[at : at + 3] == b"ID3" and len(data) >= at + 10:
        footer = 10 if data[at + 5] & 0x10 else 0
        return at + 10 + _synchsafe(data[at + 6 : at + 10]) + footer
    if data[at : at + 3] == b"TAG":
        return at + 128
    if data[at : at + 8] == b"APETAGEX" and len(data) >= at + 32:
        size = int.from_bytes(data[at + 12 : at + 16], "little")
        is_header = data[at + 23] & 0x20
        return at + 32 + (size if is_header else 0)
    return at


def next_frame(data: bytes, at: int) -> int:
    """Return the next byte from `at` where two frames, or the last one, follow; else the end."""
    while (at := data.find(b"\xff", at)) >= 0:
        frame = frame_at(data, at)
        if frame and (
            at + frame.length == len(data) or frame_at(data, at + frame.length) is not None
        ):
            return at
        at += 1
    return len(data)


def _uint32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def _synchsafe(data: bytes) -> int:
    size = 0
    for byte in data:
        size = size << 7 | byte & 0x7F
    return size
