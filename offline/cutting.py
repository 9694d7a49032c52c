"""The audio of one input as records, read, converted and cut in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final, Self

from consumer.core.streams.records import Partition, Record
from producer.conversion import Converter, wire_format
from producer.errors import MediaError
from producer.media import BlockingAudio, BlockingInput
from producer.records import checked_record
from producer.stream import OutgoingStream, PublishOptions, TimedChunk
from schemas.audio import AudioCodec, StreamOptions

CHUNK_MS: Final = 1_000
RECORDS: Final = 10  # that are cut in one step of the thread


class RecordCutter:
    """Cuts an input into records as `streamscribe publish` does. An asynchronous context manager.

    `next` raises MediaError for an input without any audio; of one that is damaged later, `problem`
    states what is missing.
    """

    def __init__(
        self, source: BlockingInput, partition: Partition, stream_id: str, options: StreamOptions
    ) -> None:
        self.problem: str | None = None
        self.warning: str | None = None
        self.seconds = 0.0  # of audio that was cut
        self._source, self._partition = source, partition
        self._stream_id = stream_id
        self._options = PublishOptions(AudioCodec.PCM_S16LE, CHUNK_MS, False, options)
        self._closing = threading.Event()
        self._records = self._cut()
        self._thread: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, "input")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()  # ends a read that blocks
        self._thread.submit(self._records.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def next(self) -> Sequence[Record]:
        """Return the next records, none only at the end."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._step)

    def _step(self) -> list[Record]:
        return list(islice(self._records, RECORDS))

    def _cut(self) -> Generator[Record, None, None]:
        appended_ms = time.time_ns() // 1_000_000
        with self._source.reading(self._closing.is_set) as audio:
            self.warning = audio.warning
            for offset, timed in enumerate(self._chunks(audio)):
                self.seconds = timed.end / (timed.chunk.rate or 1)
                key, value, headers = checked_record(timed.chunk)
                yield Record(self._partition, offset, appended_ms, key, value, tuple(headers))

    def _chunks(self, audio: BlockingAudio) -> Iterator[TimedChunk]:
        wire = wire_format(audio.format, AudioCodec.PCM_S16LE)
        converter = Converter(audio.format, wire)
        stream = OutgoingStream(self._stream_id, wire, self._options)
        failure = None
        try:
            for block in audio.blocks:
                yield from stream.push(converter.convert(block))
        except MediaError as error:
            failure = error
        yield from stream.push(converter.finish())
        if stream.empty:
            raise failure or MediaError(f"{self._source.name}: contains no audio")
        self.problem = None if failure is None else str(failure)
        yield stream.finish()
