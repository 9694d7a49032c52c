"""Decode audio files by FFmpeg, from the first sample to the last.

FFmpeg reads as much of a damaged file as it can, and reports little of it. What is missing is known
from packets that fail and from the length that a file states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from producer.byte_reader import ByteReader, Section
from producer.errors import MediaError
from producer.formats import AudioFormat, Float32Array
from producer.sniffing import FRAMES_BYTES
from schemas.mpeg import after_tags, frame_at, info_at
from schemas.ogg import ends_within_page
from schemas.riff import FIRST_CHUNK, NEXT_BYTES, DataChunk, data_chunk, is_wav, next_wav

# A container may name other files and addresses: none is opened.
_OPTIONS: Final = {"protocol_whitelist": "none"}
_WAV_HEAD_BYTES: Final = 1 << 20  # the most that may precede the samples of a WAV
_TAGS: Final = (b"ID3", b"TAG", b"APETAGEX")  # between joined MP3 files
_OGG: Final = "ogg"
_MATROSKA: Final = "matroska,webm"
# FFmpeg's names of other formats that state their length; it estimates that of the rest.
_STATED: Final = {"aiff", "caf", "mov,mp4,m4a,3gp,3g2,mj2", "ogg"}
_EXACT: Final = {"flac", "w64"}
# Of those, the ones whose length FFmpeg mistakes by orders of magnitude for compressed samples.
_STATED_OF_PCM: Final = {"aiff", "w64"}
_PCM: Final = "pcm_"  # FFmpeg's names of uncompressed samples begin so, those of G.711 too
_DELAY_FRAMES: Final = 3  # of MP3 that hold no audio of the recording
_TOLERANCE_S: Final = 0.3  # by which a stated length exceeds what is decoded: delays of encoders


class ReadableFile(Protocol):
    """A file for FFmpeg, which seeks in it if it has the methods of a seekable file."""

    def read(self, size: int, /) -> bytes: ...


class EndMissing(Exception):  # noqa: N818 -- named by what happened
    """A recording ends before its stated length."""


class MediaDecoder:
    """Decodes the recordings of an input, each a file, to one format: that of the first.

    Raises MediaError, also for what is missing, once everything else is decoded.
    """

    def __init__(
        self,
        name: str,
        files: Iterator[ReadableFile],
        stated_s: float | None = None,
        tail: Callable[[], bytes] = lambda: b"",
    ) -> None:
        """`stated_s`: the length that the file states; None leaves it to FFmpeg.

        `tail` returns the last bytes of the file once it was read.
        """
        self._tail = tail
        self._name, self._files = name, files
        self._container = self._open(next(files))
        self._stream = self._audio_stream()
        self.format = AudioFormat(self._stream.rate, self._stream.channels)
        self.seconds = _duration_s(self._container, self._stream)
        self._least_s = _least_s(self._container, self._stream) if stated_s is None else stated_s
        self._samples = 0
        self._damaged_s: float | None = None  # where the first packet could not be decoded
        self._not_finite_s: float | None = None  # where the first such sample is
        self._converter: tuple[object, AudioResampler] | None = None

    def set_length(self, length: int) -> None:
        """Set the length of uncompressed audio, in bytes, which FFmpeg cannot know of a pipe."""
        if self._stream.bit_rate:
            self.seconds = 8 * length / self._stream.bit_rate

    @property
    def warning(self) -> str | None:
        """Which audio track is decoded, if there are several."""
        tracks = self._container.streams.audio
        if len(tracks) < 2:
            return None
        languages = ", ".join(track.language or "no language" for track in tracks)
        return (
            f"{self._name}: has {len(tracks)} audio tracks ({languages}): only number "
            f"{tracks.index(self._stream)} is read, counted from 0; for number N, pipe it: "
            "ffmpeg -loglevel error -i FILE -map 0:a:N -f wav - | streamscribe publish -"
        )

    def close(self) -> None:
        self._container.close()

    def blocks(self) -> Iterator[Float32Array]:
        """Yield samples [n, channels] of -1..1."""
        try:
            yield from self._recording()
            for file in self._files:
                self._container.close()
                self._container = self._open(file)
                self._stream = self._audio_stream()
                yield from self._recording()
        except EndMissing:
            raise self._stopped("the file is incomplete") from None
        except (FFmpegError, OSError) as error:
            raise self._stopped(str(error.strerror)) from error
        self._check_missing()

    def _open(self, file: ReadableFile) -> InputContainer:
        try:
            return av.open(file, "r", container_options=_OPTIONS)
        except FFmpegError as error:
            raise MediaError(
                f"{self._name}: cannot be read as audio ({error.strerror}): "
                "check that it is a complete audio or video file"
            ) from error

    def _audio_stream(self) -> AudioStream:
        stream = self._container.streams.best("audio")
        if not isinstance(stream, AudioStream):
            raise MediaError(f"{self._name}: contains no audio")
        if not (stream.codec_context and stream.rate and stream.channels):
            raise MediaError(f"{self._name}: its audio codec is not supported: convert the file")
        return stream

    def _recording(self) -> Iterator[Float32Array]:
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except FFmpegError:
                if self._damaged_s is None and not bytes(packet).startswith(_TAGS):
                    self._damaged_s = self._second
                continue
            for frame in frames:
                yield from self._converted(frame)
        yield from self._flushed()

    def _converted(self, frame: AudioFrame) -> Iterator[Float32Array]:
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._converter is None or self._converter[0] != form:
            yield from self._flushed()
            self._converter = (form, self._new_resampler(frame))
        for part in self._converter[1].resample(frame):
            yield self._checked(part)

    def _new_resampler(self, frame: AudioFrame) -> AudioResampler:
        channels = self.format.channels
        same = frame.layout.nb_channels == channels
        layout = frame.layout if same else {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
        return AudioResampler("flt", layout, self.format.rate)

    def _flushed(self) -> Iterator[Float32Array]:
        if self._converter is not None:
            for part in self._converter[1].resample(None):
                yield self._checked(part)
        self._converter = None

    def _checked(self, frame: AudioFrame) -> Float32Array:
        samples = frame.to_ndarray().astype(np.float32, copy=False)
        block: Float32Array = samples.reshape(-1, self.format.channels)
        finite = np.isfinite(block)
        if not finite.all():
            if self._not_finite_s is None:
                first = int(finite.all(axis=1).argmin())
                self._not_finite_s = self._second + first / self.format.rate
            block = np.where(finite, block, np.float32(0.0))
        self._samples += len(block)
        return block

    @property
    def _second(self) -> float:
        return self._samples / self.format.rate

    def _check_missing(self) -> None:
        if self._container.format.name == _OGG and ends_within_page(self._tail()):
            raise self._stopped("the file is incomplete")
        if self._second < self._least_s:
            raise self._stopped(f"the file states more than {self._least_s:.1f} s")
        if self._damaged_s is not None:
            raise MediaError(
                f"{self._name}: damaged at {self._damaged_s:.1f} s: what could not be decoded "
                "is missing; try again with the file from its source"
            )
        if self._not_finite_s is not None:
            raise MediaError(
                f"{self._name}: contains samples that are not finite numbers, the first at "
                f"{self._not_finite_s:.1f} s: silence is in their place; try again with the "
                "file from its source"
            )

    def _stopped(self, reason: str) -> MediaError:
        return MediaError(
            f"{self._name}: stopped at {self._second:.1f} s ({reason}): "
            "audio is missing; try again once it is complete"
        )


@contextmanager
def file_decoder(
    name: str, file: ReadableFile, head: bytes, tail: Callable[[], bytes]
) -> Iterator[MediaDecoder]:
    """Yield the decoder of a file; `head` is its beginning, `tail` as of `MediaDecoder`.

    Raises MediaError.
    """
    decoder = MediaDecoder(name, iter((file,)), mp3_stated_s(head), tail)
    try:
        yield decoder
    finally:
        decoder.close()


@contextmanager
def wav_decoder(name: str, reader: ByteReader) -> Iterator[MediaDecoder]:
    """Yield the decoder of WAV recordings. Raises MediaError."""
    chunk = find_data_chunk(reader)
    decoder = MediaDecoder(name, _wavs(reader))
    if chunk is not None and chunk.length is not None:
        decoder.set_length(chunk.length)
    try:
        yield decoder
    finally:
        decoder.close()


def _wavs(reader: ByteReader) -> Iterator[Section]:
    """Yield each WAV. Raises EndMissing for one that ends before its stated length."""
    while True:
        chunk = find_data_chunk(reader)
        if chunk is None or chunk.length is None:
            yield Section(reader, None)
            return
        end = reader.position + chunk.start + chunk.length
        yield Section(reader, end)
        reader.skip(end)
        if reader.position < end:
            raise EndMissing
        rest = reader.peek(FRAMES_BYTES)
        following = next_wav(rest, 0 if is_wav(rest) else chunk.length % 2)
        if following is None:
            return
        reader.skip(end + following)


def find_data_chunk(reader: ByteReader) -> DataChunk | None:
    """Return where the samples are, looking at no more bytes than that takes."""
    size = FIRST_CHUNK
    while (chunk := data_chunk(head := reader.peek(size))) is None:
        if len(head) < size or size >= _WAV_HEAD_BYTES:
            return None
        size *= 2
    return data_chunk(reader.peek(chunk.start + NEXT_BYTES))


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    """Return the length as FFmpeg states or estimates it."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _least_s(container: InputContainer, stream: AudioStream) -> float:
    """Return how long the audio is at least, as far as the file states it."""
    name, duration_s = container.format.name, _duration_s(container, stream) or 0.0
    if name in _STATED_OF_PCM and not stream.codec_context.name.startswith(_PCM):
        return 0.0
    if name in _EXACT:
        return duration_s
    only = len(container.streams) == 1  # Matroska states the length of its longest stream
    return duration_s - _TOLERANCE_S if name in _STATED or (name == _MATROSKA and only) else 0.0


def mp3_stated_s(head: bytes) -> float | None:
    """Return the least length that an encoder's first frame states; None: it is no such MP3."""
    at = after_tags(head, 0)
    frame = frame_at(head, at)
    info = None if frame is None else info_at(head, at, frame)
    if frame is None or info is None or not info.frames:
        return None
    return max(0, info.frames - _DELAY_FRAMES) * frame.samples / frame.rate
