"""The recordings of a container. Pure.

Files of most formats may be joined byte by byte, and libsndfile reads no more than the first.
It also trusts lengths that writers to a pipe leave open, and estimates those of MP3 without the
encoder's first frame.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.audio import AudioCodec
from schemas.mpeg import InfoFrame, after_tags, frame_at, info_at, next_frame
from schemas.ogg import after_page, begins_stream
from schemas.riff import after_chunk, data_chunk, is_wav, next_wav

_FLAC: Final = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # with its first block, STREAMINFO


@dataclass(frozen=True, slots=True)
class EncodedRecording:
    """One recording, as libsndfile reads it."""

    data: bytes
    is_complete: bool = True  # False: bytes are missing or damaged


def recordings(payload: bytes, codec: AudioCodec) -> Iterator[EncodedRecording]:
    """Yield the recordings of a payload, one after the other; at least one."""
    split = _SPLIT.get(codec)
    return split(payload) if split else iter((EncodedRecording(payload),))


def _wav(payload: bytes) -> Iterator[EncodedRecording]:
    at: int | None = 0
    while at is not None:
        chunk = data_chunk(payload, at) if is_wav(payload, at) else None
        if chunk is None:
            yield EncodedRecording(payload[at:])
            return
        if chunk.length is None:
            yield EncodedRecording(_with_length(payload, at, chunk.start))
            return
        following = next_wav(payload, after_chunk(payload, chunk.start, chunk.length))
        yield EncodedRecording(
            payload[at:following], is_complete=chunk.start + chunk.length <= len(payload)
        )
        at = following


def _with_length(payload: bytes, at: int, start: int) -> bytes:
    """Return the WAV from `at` with the length of its samples, which begin at `start`."""
    length = (len(payload) - start).to_bytes(4, "little")
    return b"".join((payload[at : start - 4], length, payload[start:]))


def _flac(payload: bytes) -> Iterator[EncodedRecording]:
    starts = [0, *(match.start() for match in _FLAC.finditer(payload, 1))]
    if not _FLAC.match(payload):
        starts = [0]  # a tag comes first, or it is no FLAC
    for start, end in zip(starts, [*starts[1:], len(payload)], strict=True):
        yield EncodedRecording(payload[start:end])


def _ogg(payload: bytes) -> Iterator[EncodedRecording]:
    start = at = 0
    after_audio = False
    while (after := after_page(payload, at)) is not None:
        begins = begins_stream(payload, at)
        if begins and after_audio:
            yield EncodedRecording(payload[start:at])
            start = at
        after_audio = not begins
        at = after
    yield EncodedRecording(payload[start:], is_complete=at <= len(payload))


def _mp3(payload: bytes) -> Iterator[EncodedRecording]:
    at = after_tags(payload, 0)
    if frame_at(payload, at) is None:
        yield EncodedRecording(payload)  # libsndfile decides what it is
        return
    walk = _Mp3Walk(payload, at)
    while (recording := walk.next()) is not None:
        yield recording


class _Mp3Walk:
    """Cuts MP3 into recordings: at the encoder's first frame, and after the frames it states."""

    def __init__(self, payload: bytes, at: int) -> None:
        self._payload, self._at = payload, at
        self._frames: list[bytes] = []
        self._left: int | None = None  # audio frames that the first frame states, less those read
        self._is_damaged = False

    def next(self) -> EncodedRecording | None:
        """Return the next recording, or None after the last."""
        self._frames, self._left, self._is_damaged = [], None, False
        while (frame := frame_at(self._payload, self._at)) is not None:
            info = info_at(self._payload, self._at, frame)
            if self._frames and (info is not None or self._left == 0):
                break
            self._take(frame.length, info)
        return (
            EncodedRecording(b"".join(self._frames), self._is_complete()) if self._frames else None
        )

    def _take(self, length: int, info: InfoFrame | None) -> None:
        if info is not None:
            self._left = info.frames or None
        elif self._left is not None:
            self._left -= 1
        self._frames.append(self._payload[self._at : self._at + length])
        self._at += length
        self._is_damaged |= self._at > len(self._payload) or not self._skip_tags()

    def _skip_tags(self) -> bool:
        """Move to the next frame; return whether only tags are before it."""
        self._at = after_tags(self._payload, self._at)
        if frame_at(self._payload, self._at) is not None:
            return True
        self._at = next_frame(self._payload, self._at)
        return self._at == len(self._payload)

    def _is_complete(self) -> bool:
        # Some encoders count their first frame.
        return not self._is_damaged if self._left is None else self._left <= 1


_SPLIT: Final[dict[AudioCodec, Callable[[bytes], Iterator[EncodedRecording]]]] = {
    AudioCodec.WAV: _wav,
    AudioCodec.FLAC: _flac,
    AudioCodec.OPUS: _ogg,
    AudioCodec.VORBIS: _ogg,
    AudioCodec.MP3: _mp3,
}
