"""Read audio files, pipes and standard input in blocks of floats, never as a whole."""

from __future__ import annotations

import asyncio
import os
import resource
import shlex
import stat
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from producer.byte_reader import ByteReader, Section
from producer.decoding import MediaDecoder, file_decoder, find_data_chunk, mp3_stated_s, wav_decoder
from producer.errors import MediaError
from producer.formats import AudioFormat, Float32Array
from producer.sniffing import (
    FRAMES_BYTES,
    HEAD_BYTES,
    is_container,
    may_have_frames,
    needs_seeking,
)
from schemas.ogg import LONGEST_PAGE
from schemas.riff import FIRST_CHUNK, is_wav, pcm16_format

_BLOCK_S: Final = 0.1  # of raw PCM
_COPY_BYTES: Final = 64 << 10
_MOST_FILES: Final = 256  # open at once
_TAGGED_BYTES: Final = 4 << 20  # of a file, to find its first frame after its tags


def max_open_files() -> int:
    """Return how many files may be open at once: half of the descriptors of this process."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_FILES if descriptors < 0 else max(1, min(_MOST_FILES, descriptors // 2))


@dataclass(frozen=True, slots=True)
class OpenAudio:
    """An open input."""

    format: AudioFormat
    blocks: AsyncGenerator[Float32Array, None]  # samples [n, channels] of -1..1; raises MediaError
    warning: str | None = None  # one line with the input's name


class AudioInput(Protocol):
    """An audio input, which can be read once."""

    @property
    def name(self) -> str: ...  # for messages

    @property
    def seconds(self) -> float | None: ...  # None: unknown

    @property
    def live(self) -> bool: ...  # whether samples arrive in real time

    def open(self, stop: asyncio.Event) -> AbstractAsyncContextManager[OpenAudio]:
        """Open the input, whose blocks end at its end or on `stop`. Raises MediaError."""


class BlockingAudio(NamedTuple):
    """An open input whose blocks are read in the caller's thread."""

    format: AudioFormat
    blocks: Iterator[Float32Array]  # as those of OpenAudio
    warning: str | None = None


class BlockingInput(Protocol):
    """An audio input that is read, once, in a thread of the caller."""

    @property
    def name(self) -> str: ...  # for messages

    @property
    def seconds(self) -> float | None: ...  # None: unknown

    def reading(self, stopped: Callable[[], bool]) -> AbstractContextManager[BlockingAudio]:
        """Open the input, whose blocks end at its end or once `stopped`. Raises MediaError."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """An audio or video file that can be read at any place."""

    path: Path
    seconds: float | None
    size: int  # bytes when it was first looked at
    turns: asyncio.Semaphore  # bounds how many files are open at once
    live: bool = False

    @property
    def name(self) -> str:
        return str(self.path)

    @asynccontextmanager
    async def open(self, stop: asyncio.Event) -> AsyncIterator[OpenAudio]:
        async with self.turns:
            with self.reading(stop.is_set) as audio:
                yield OpenAudio(audio.format, _until(stop, audio.blocks), audio.warning)

    @contextmanager
    def reading(self, stopped: Callable[[], bool]) -> Iterator[BlockingAudio]:
        with _opened(self.path) as file, _decoder(self.path, file, stopped) as decoder:
            blocks = self._checked(file, decoder.blocks())
            yield BlockingAudio(decoder.format, blocks, decoder.warning)

    def _checked(self, file: FileIO, blocks: Iterator[Float32Array]) -> Iterator[Float32Array]:
        """Yield the blocks. Raises MediaError after them if the file has grown since."""
        yield from blocks
        if _size(file) > self.size:
            raise MediaError(
                f"{self.name}: was still being written: what came later may be missing; try "
                "again once it is complete, or pipe it: "
                f"tail -c +1 -f {shlex.quote(self.name)} | streamscribe publish -"
            )


def open_input(path: Path, turns: asyncio.Semaphore) -> FileSource | PipeSource:
    """Return the input of this name. Raises MediaError, of a pipe only once it is opened."""
    try:
        is_pipe = not (path.is_dir() or stat.S_ISREG(path.stat().st_mode))
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error
    return PipeSource(path, raw=None) if is_pipe else open_file(path, turns)


def open_file(path: Path, turns: asyncio.Semaphore) -> FileSource:
    """Return the file as an input after reading its beginning. Raises MediaError."""
    if path.is_dir():
        raise MediaError(f"{path}: is a folder: name the files in it, as in {path}/*.wav")
    with _opened(path) as file, _decoder(path, file, lambda: False) as decoder:
        size, seconds = _size(file), decoder.seconds
        if next(decoder.blocks(), None) is None:
            raise MediaError(f"{path}: contains no audio")
    return FileSource(path, seconds, size, turns)


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _decoder(path: Path, file: FileIO, stopped: Callable[[], bool]) -> Iterator[MediaDecoder]:
    try:
        head = file.read(_TAGGED_BYTES)
        file.seek(0)
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror}") from error
    if not head:
        raise MediaError(f"{path}: is empty: check that it was recorded or copied to its end")
    if is_wav(head):
        decoding = wav_decoder(str(path), ByteReader(file.fileno(), stopped))
    else:
        decoding = file_decoder(str(path), file, head, partial(_tail, file))
    with decoding as decoder:
        yield decoder


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _tail(file: FileIO) -> bytes:
    file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_PAGE))
    return file.read()


async def _until(
    stop: asyncio.Event, blocks: Iterator[Float32Array]
) -> AsyncGenerator[Float32Array, None]:
    for block in blocks:
        if stop.is_set():
            return
        yield block


@dataclass(frozen=True, slots=True)
class PipeSource:
    """A pipe, a device or standard input: a container, or raw 16-bit little-endian PCM.

    It is read in a thread of its own, because a read may block. What FFmpeg can decode as it
    arrives is not stored.
    """

    path: Path | None  # None: standard input
    raw: AudioFormat | None  # of what is no container; None: that is an error
    seconds: float | None = None
    live: bool = True

    @property
    def name(self) -> str:
        return "standard input" if self.path is None else str(self.path)

    @asynccontextmanager
    async def open(self, stop: asyncio.Event) -> AsyncIterator[OpenAudio]:
        closing = threading.Event()
        with ExitStack() as opened, ThreadPoolExecutor(1, "pipe") as thread:
            run = partial(asyncio.get_running_loop().run_in_executor, thread)
            try:
                audio = await run(self._open, opened, lambda: stop.is_set() or closing.is_set())
                steps = _stepwise(stop, partial(run, next, audio.blocks, None))
                yield OpenAudio(audio.format, steps, audio.warning)
            finally:
                closing.set()  # ends a read of the thread

    @contextmanager
    def reading(self, stopped: Callable[[], bool]) -> Iterator[BlockingAudio]:
        with ExitStack() as opened:
            yield self._open(opened, stopped)

    def _open(self, opened: ExitStack, stopped: Callable[[], bool]) -> BlockingAudio:
        """Return the audio; what must be closed after the last block goes to `opened`."""
        try:
            reader = ByteReader(self._descriptor(opened), stopped)
            head = reader.peek(HEAD_BYTES)
            if may_have_frames(head):
                head = reader.peek(FRAMES_BYTES)
            if self.raw is not None and not is_container(head):
                return BlockingAudio(self.raw, self._pcm(reader, self.raw))
            if (live := _skip_live_header(reader, head)) is not None:
                return BlockingAudio(live, self._pcm(reader, live))
            decoder = opened.enter_context(self._decoder(reader, opened))
        except OSError as error:
            raise MediaError(f"{self.name}: {error.strerror}") from error
        return BlockingAudio(decoder.format, decoder.blocks(), decoder.warning)

    def _descriptor(self, opened: ExitStack) -> int:
        if self.path is not None:
            # A named pipe without a writer would block.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            opened.callback(os.close, descriptor)
            return descriptor
        if sys.stdin is None:
            raise MediaError(f"{self.name}: is closed")
        return sys.stdin.fileno()

    def _decoder(
        self, reader: ByteReader, opened: ExitStack
    ) -> AbstractContextManager[MediaDecoder]:
        if is_wav(reader.peek(FIRST_CHUNK)):
            return wav_decoder(self.name, reader)
        head, rest = reader.peek(FRAMES_BYTES), Section(reader, None)
        # MP3 that states its length is a file, not live; FFmpeg must seek to trim it alike.
        if not needs_seeking(head) and mp3_stated_s(head) is None:
            return file_decoder(self.name, rest, head, lambda: reader.tail)
        spooled = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `opened`
        opened.enter_context(spooled)
        while data := rest.read(_COPY_BYTES):
            spooled.write(data)
        spooled.seek(0)
        return file_decoder(self.name, spooled, head, lambda: reader.tail)

    def _pcm(self, reader: ByteReader, format_: AudioFormat) -> Iterator[Float32Array]:
        frame_bytes = 2 * format_.channels
        rest = b""
        while data := reader.read(round(format_.rate * _BLOCK_S) * frame_bytes):
            rest += data
            whole = len(rest) // frame_bytes * frame_bytes
            samples = np.frombuffer(rest[:whole], "<i2").astype(np.float32) / np.float32(32_768)
            rest = rest[whole:]
            yield samples.reshape(-1, format_.channels)
        if rest:
            raise MediaError(
                f"{self.name}: ended within a sample: check that it is raw 16-bit PCM "
                f"with {format_.channels} channel(s)"
            )


def _skip_live_header(reader: ByteReader, head: bytes) -> AudioFormat | None:
    """Skip the header of a WAV of 16-bit PCM of unknown length, and return its format.

    FFmpeg would decode its first block only after some seconds.
    """
    chunk = find_data_chunk(reader) if is_wav(head) else None
    if chunk is None or chunk.length is not None:
        return None
    found = pcm16_format(reader.peek(chunk.start))
    if found is None:
        return None
    reader.skip(chunk.start)
    return AudioFormat(*found)


async def _stepwise(
    stop: asyncio.Event, step: Callable[[], Awaitable[Float32Array | None]]
) -> AsyncGenerator[Float32Array, None]:
    while (block := await step()) is not None and not stop.is_set():
        yield block
