"""Transcripts as an async iterator.

    async for event in transcripts("localhost:9092"):
        ...

`TranscriptReader` is the same for programs that must know when reading begins.

Records that are no events of this release are skipped with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection

from aiokafka import ConsumerRecord

from schemas.codec import decode_event
from schemas.errors import WireError
from schemas.topics import Topics
from schemas.transcript import AnyEvent
from transport.security import Security
from transport.start import Edge, Start
from transport.topic_reader import TopicReader

log = logging.getLogger(__name__)


class TranscriptReader(TopicReader):
    """A reader of events. Entering it determines the start: later events will all be read.

    `start`: the first event to read. `streams`: only these; empty: all. `warn` is called with one
    line for each record that is no event, and for events that were deleted before they were read.
    Raises ReaderError as `TopicReader` does.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str = Topics().transcripts,
        *,
        start: Start = Edge.NOW,
        streams: Collection[str] = (),
        security: Security = Security(),  # noqa: B008 - frozen
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        super().__init__(bootstrap, topic, start=start, security=security, warn=warn)
        self._keys = frozenset(stream.encode() for stream in streams)

    async def __aiter__(self) -> AsyncIterator[AnyEvent]:
        async for event in self._events(self.records()):
            yield event

    async def history(self, until_ms: int | None = None) -> AsyncIterator[AnyEvent]:
        """Yield the events up to the current end, or to those appended at a Unix time or later."""
        async for event in self._events(self.records_to_end(until_ms)):
            yield event

    async def _events(self, records: AsyncIterator[ConsumerRecord]) -> AsyncIterator[AnyEvent]:
        async for record in records:
            if self._keys and record.key not in self._keys:
                continue
            if (event := self._decoded(record)) is not None:
                yield event

    def _decoded(self, record: ConsumerRecord) -> AnyEvent | None:
        try:
            return decode_event(record.headers, record.value)
        except WireError as error:
            self._warn(f"{record.topic}/{record.partition} offset {record.offset}: {error}")
            return None


async def transcripts(
    bootstrap: str,
    topic: str = Topics().transcripts,
    *,
    start: Start = Edge.NOW,
    streams: Collection[str] = (),
    security: Security = Security(),  # noqa: B008 - frozen
) -> AsyncGenerator[AnyEvent, None]:
    """Yield events until the caller ends the iteration; the arguments are TranscriptReader's."""
    reader = TranscriptReader(bootstrap, topic, start=start, streams=streams, security=security)
    async with reader:
        async for event in reader:
            yield event
