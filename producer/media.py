"""Read audio files and standard input in blocks of floats, never as a whole."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO, TypeAlias

import numpy as np
import numpy.typing as npt
import soundfile

from producer.errors import MediaError

Float32Array: TypeAlias = npt.NDArray[np.float32]

_BLOCK_S = 0.1
_UNKNOWN_FRAMES = 1 << 62  # libsndfile reports at least this many for an unknown length


@dataclass(frozen=True, slots=True)
class AudioFormat:
    rate: int  # Hz
    channels: int


class AudioInput(Protocol):
    """An audio input, which can be read once."""

    @property
    def name(self) -> str: ...  # for messages

    @property
    def stem(self) -> str: ...  # for a stream id

    @property
    def format(self) -> AudioFormat: ...

    @property
    def seconds(self) -> float | None: ...  # None: unknown

    @property
    def live(self) -> bool: ...  # whether samples arrive in real time

    def blocks(self, stop: asyncio.Event) -> AsyncGenerator[Float32Array, None]:
        """Yield samples [n, channels] of -1..1 until the end or `stop`. Raises MediaError."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """An audio file of any format that libsndfile reads."""

    path: Path
    format: AudioFormat
    seconds: float | None
    live: bool = False

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def stem(self) -> str:
        return self.path.stem

    async def blocks(self, stop: asyncio.Event) -> AsyncGenerator[Float32Array, None]:
        for block in self._read():
            if stop.is_set():
                return
            yield block

    def _read(self) -> Iterator[Float32Array]:
        with _open(self.path) as file:
            # As floats, because libsndfile does not scale a float file that is read as integers.
            while len(
                block := file.read(
                    round(self.format.rate * _BLOCK_S), dtype="float32", always_2d=True
                )
            ):
                if not np.isfinite(block).all():
                    raise MediaError(f"{self.path}: contains samples that are not finite numbers")
                yield block


def open_file(path: Path) -> FileSource:
    """Return the file as an input after reading its header. Raises MediaError."""
    if path.is_dir():
        raise MediaError(f"{path}: is a folder: name the files in it, as in {path}/*.wav")
    with _open(path) as file:
        if not file.frames:
            raise MediaError(f"{path}: contains no audio")
        known = file.frames < _UNKNOWN_FRAMES
        seconds = file.frames / file.samplerate if known else None
        return FileSource(path, AudioFormat(file.samplerate, file.channels), seconds)


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped
    """A file without seeks: soundfile seeks after each read, and fails on FLAC of unknown length.

    Only the subclass's `seekable` can prevent that.
    """

    def seekable(self) -> bool:
        return False


@contextlib.contextmanager
def _open(path: Path) -> Iterator[soundfile.SoundFile]:
    """Yield the open file. Raises MediaError, also for errors of reading it."""
    try:
        # Not opened by libsndfile, whose only message is "System error".
        with path.open("rb") as raw, _ForwardOnly(raw) as file:
            yield file
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{path}: cannot be read as audio ({error.error_string})") from error


@dataclass(frozen=True, slots=True)
class StdinSource:
    """Raw 16-bit little-endian PCM on standard input, a pipe or a file."""

    format: AudioFormat
    seconds: float | None = None
    live: bool = True
    name: str = "standard input"
    stem: str = "stdin"

    async def blocks(self, stop: asyncio.Event) -> AsyncGenerator[Float32Array, None]:
        if sys.stdin is None:
            raise MediaError(f"{self.name}: is closed")
        frame_bytes = 2 * self.format.channels
        rest = b""
        async for data in _stdin_bytes(round(self.format.rate * _BLOCK_S) * frame_bytes, stop):
            rest += data
            whole = len(rest) // frame_bytes * frame_bytes
            samples = np.frombuffer(rest[:whole], "<i2").astype(np.float32) / np.float32(32_768)
            rest = rest[whole:]
            yield samples.reshape(-1, self.format.channels)
        if rest and not stop.is_set():
            raise MediaError(
                f"{self.name}: ended within a sample: check that it is raw 16-bit PCM "
                f"with {self.format.channels} channel(s)"
            )


async def _stdin_bytes(block_bytes: int, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield standard input as it arrives, until its end or `stop`."""
    if not _may_block(sys.stdin):
        while not stop.is_set() and (data := sys.stdin.buffer.read(block_bytes)):
            yield data
        return
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    stopped = asyncio.ensure_future(stop.wait())
    stopped.add_done_callback(lambda _: reader.feed_eof())
    try:
        while (data := await reader.read(block_bytes)) and not stop.is_set():
            yield data
    finally:
        stopped.cancel()
        transport.close()


def _may_block(file: TextIO) -> bool:
    """Return whether a read may block: a file that cannot be polled (a regular one) never does."""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(file, selectors.EVENT_READ)
    except PermissionError:
        return False
    return True
