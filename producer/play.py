"""The motion: many inputs at once, each read, cut, paced and sent as a stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from producer.conversion import Converter, wire_format
from producer.errors import MediaError, PublishError
from producer.media import Source
from producer.pacing import Clock, Pace
from producer.stream import Cut, Manner, OutgoingStream
from schemas.audio import AudioChunk


@dataclass(frozen=True, slots=True)
class Item:
    """One input and the stream that it becomes."""

    stream_id: str
    source: Source


class Reporter(Protocol):
    """Whoever watches; seconds are of audio."""

    def started(self, item: Item) -> None: ...

    def advanced(self, item: Item, seconds: float) -> None: ...

    def ended(self, item: Item, seconds: float, records: int) -> None: ...

    def failed(self, item: Item, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Stage:
    """What all streams of a run share."""

    send: Callable[[AudioChunk], Awaitable[None]]
    clock: Clock
    stop: asyncio.Event  # set: every stream ends now, with its `end`
    reporter: Reporter


async def play_all(items: Sequence[Item], manner: Manner, stage: Stage) -> bool:
    """Publish all inputs at once; whether each could be read. Raises PublishError."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_Play(item, manner, stage).run()) for item in items]
    except* PublishError as failed:
        raise failed.exceptions[0] from None
    return all(task.result() for task in tasks)


class _Play:
    """One input as it becomes a stream."""

    def __init__(self, item: Item, manner: Manner, stage: Stage) -> None:
        self._item, self._manner, self._stage = item, manner, stage
        self._wire = wire_format(item.source.format, manner.codec)
        self._stream = OutgoingStream(item.stream_id, self._wire, manner)
        self._pace: Pace | None = None  # None: nothing heard yet, or as fast as Kafka takes it

    async def run(self) -> bool:
        """Whether the input could be read. What could be read before it broke is published."""
        reporter = self._stage.reporter
        reporter.started(self._item)
        failure = None
        try:
            await self._body()
        except MediaError as error:
            failure = error
        await self._end()
        if failure is not None:
            reporter.failed(self._item, str(failure))
        reporter.ended(self._item, self._stream.seconds, self._stream.records)
        return failure is None

    async def _body(self) -> None:
        source, stop = self._item.source, self._stage.stop
        converter = Converter(source.format, self._wire)
        async with aclosing(source.blocks(stop)) as blocks:
            async for block in blocks:
                self._begin(len(block) / source.format.rate)
                await self._send_all(self._stream.push(converter.convert(block)))
        await self._send_all(self._stream.push(converter.finish()))
        if self._stream.empty and not stop.is_set():
            raise MediaError(f"{source.name}: holds no audio")

    def _begin(self, block_s: float) -> None:
        """Start the clock with the first block; a live one was heard already."""
        if self._manner.realtime and self._pace is None:
            heard_s = block_s if self._item.source.live else 0.0
            clock = self._stage.clock
            self._pace = Pace(
                clock.now_s() - heard_s, clock.now_ms() - round(heard_s * 1000), self._wire.rate
            )

    async def _send_all(self, cuts: Iterable[Cut]) -> None:
        for cut in cuts:
            await self._send(cut)
            if self._stage.stop.is_set():
                return

    async def _end(self) -> None:
        if self._stage.stop.is_set():
            self._stream.drop_held()
        if not self._stream.empty:
            await self._send(self._stream.finish())

    async def _send(self, cut: Cut) -> None:
        clock, pace, chunk = self._stage.clock, self._pace, cut.chunk
        if pace is None:
            await clock.wait(0.0, self._stage.stop)
        else:
            await clock.wait(pace.due_s(cut.end) - clock.now_s(), self._stage.stop)
            chunk = replace(chunk, captured_ms=pace.captured_ms(cut.start))
        await self._stage.send(chunk)
        self._stage.reporter.advanced(self._item, self._stream.seconds)
