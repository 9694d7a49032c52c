"""The motion: many inputs at once, each read, cut, paced and sent as a stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from producer.conversion import Converter, wire_format
from producer.errors import MediaError, PublishError
from producer.media import AudioInput
from producer.pacing import PublishClock, RealtimeSchedule
from producer.stream import OutgoingStream, PublishOptions, TimedChunk
from schemas.audio import AudioChunk


@dataclass(frozen=True, slots=True)
class InputStream:
    """One input and the stream that it becomes."""

    stream_id: str
    source: AudioInput


class Reporter(Protocol):
    """Whoever watches; seconds are of audio."""

    def started(self, item: InputStream) -> None: ...

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None: ...

    def failed(self, item: InputStream, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class PublishContext:
    """What all streams of a run share."""

    send: Callable[[AudioChunk], Awaitable[None]]
    clock: PublishClock
    stop: asyncio.Event  # set: every stream ends now, with its `end`
    reporter: Reporter


async def publish_streams(
    inputs: Sequence[InputStream], options: PublishOptions, context: PublishContext
) -> bool:
    """Publish all inputs at once; whether each could be read. Raises PublishError."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_StreamPublication(item, options, context).run())
                for item in inputs
            ]
    except* PublishError as failed:
        raise failed.exceptions[0] from None
    return all(task.result() for task in tasks)


class _StreamPublication:
    """One input as it becomes a stream."""

    def __init__(
        self, input_: InputStream, options: PublishOptions, context: PublishContext
    ) -> None:
        self._input, self._options, self._context = input_, options, context
        self._wire = wire_format(input_.source.format, options.codec)
        self._stream = OutgoingStream(input_.stream_id, self._wire, options)
        self._schedule: RealtimeSchedule | None = (
            None  # None: nothing heard yet, or as fast as Kafka takes it
        )

    async def run(self) -> bool:
        """Whether the input could be read. What could be read before it broke is published."""
        reporter = self._context.reporter
        reporter.started(self._input)
        failure = None
        try:
            await self._body()
        except MediaError as error:
            failure = error
        await self._end()
        if failure is not None:
            reporter.failed(self._input, str(failure))
        reporter.ended(self._input, self._stream.seconds, self._stream.records)
        return failure is None

    async def _body(self) -> None:
        source, stop = self._input.source, self._context.stop
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
        if self._options.realtime and self._schedule is None:
            heard_s = block_s if self._input.source.live else 0.0
            clock = self._context.clock
            self._schedule = RealtimeSchedule(
                clock.now_s() - heard_s, clock.now_ms() - round(heard_s * 1000), self._wire.rate
            )

    async def _send_all(self, cuts: Iterable[TimedChunk]) -> None:
        for cut in cuts:
            await self._send(cut)
            if self._context.stop.is_set():
                return

    async def _end(self) -> None:
        if self._context.stop.is_set():
            self._stream.drop_rest()
        if not self._stream.empty:
            await self._send(self._stream.finish())

    async def _send(self, cut: TimedChunk) -> None:
        clock, pace, chunk = self._context.clock, self._schedule, cut.chunk
        if pace is None:
            await clock.wait(0.0, self._context.stop)
        else:
            await clock.wait(pace.due_s(cut.end) - clock.now_s(), self._context.stop)
            chunk = replace(chunk, captured_ms=pace.captured_ms(cut.start))
        await self._context.send(chunk)
        self._context.reporter.advanced(self._input, self._stream.seconds)
