"""Publish many inputs concurrently: each is read, cut, paced and sent as a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from producer.conversion import Converter, wire_format
from producer.errors import MediaError, PublishError
from producer.media import AudioInput, OpenAudio
from producer.pacing import PublishClock, RealtimeSchedule
from producer.stream import OutgoingStream, PublishOptions, TimedChunk
from schemas.audio import AudioChunk


@dataclass(frozen=True, slots=True)
class InputStream:
    """One input and its stream id."""

    stream_id: str
    source: AudioInput


class Reporter(Protocol):
    """Receives the progress; seconds are of audio."""

    def started(self, item: InputStream) -> None: ...

    def advanced(self, item: InputStream, seconds: float) -> None: ...

    def ended(self, item: InputStream, seconds: float, records: int) -> None: ...

    def warned(self, item: InputStream, warning: str) -> None: ...

    def failed(self, item: InputStream, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class PublishContext:
    """What all streams of a run share."""

    send: Callable[[AudioChunk], Awaitable[None]]
    clock: PublishClock
    stop: asyncio.Event  # set: every stream ends now, with an `end` record
    reporter: Reporter


async def publish_streams(
    inputs: Sequence[InputStream], options: PublishOptions, context: PublishContext
) -> bool:
    """Publish all inputs; return whether each could be read to its end. Raises PublishError."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_publish(item, options, context)) for item in inputs]
    except* PublishError as failed:
        raise failed.exceptions[0] from None
    return all(task.result() for task in tasks)


async def _publish(item: InputStream, options: PublishOptions, context: PublishContext) -> bool:
    """Publish one input; return whether it could be read to its end."""
    try:
        async with item.source.open(context.stop) as audio:
            return await _StreamPublication(item, audio, options, context).run()
    except MediaError as error:
        return _report_failure(item, error, context)


def _report_failure(item: InputStream, error: MediaError, context: PublishContext) -> bool:
    """Report the error, and return whether the input may count as read to its end."""
    if context.stop.is_set():  # what was stopped is incomplete
        return True
    context.reporter.failed(item, str(error))
    return False


class _StreamPublication:
    """The publication of one input."""

    def __init__(
        self,
        input_: InputStream,
        audio: OpenAudio,
        options: PublishOptions,
        context: PublishContext,
    ) -> None:
        self._input, self._audio, self._options, self._context = input_, audio, options, context
        self._wire = wire_format(audio.format, options.codec)
        self._converter = Converter(audio.format, self._wire)
        self._stream = OutgoingStream(input_.stream_id, self._wire, options)
        # None before the first block, and always without real time.
        self._schedule: RealtimeSchedule | None = None

    async def run(self) -> bool:
        """Publish the stream; return whether the input could be read to its end.

        Audio before a read error is published, and the stream is ended.
        """
        reporter = self._context.reporter
        reporter.started(self._input)
        if self._audio.warning is not None:
            reporter.warned(self._input, self._audio.warning)
        failure = None
        try:
            await self._send_blocks()
        except MediaError as error:
            failure = error
        await self._send_all(self._stream.push(self._converter.finish()))
        if failure is None and self._stream.empty:
            failure = MediaError(f"{self._input.source.name}: contains no audio")
        await self._end()
        complete = failure is None or _report_failure(self._input, failure, self._context)
        reporter.ended(self._input, self._stream.seconds, self._stream.records)
        return complete

    async def _send_blocks(self) -> None:
        async with aclosing(self._audio.blocks) as blocks:
            async for block in blocks:
                self._start_schedule(len(block) / self._audio.format.rate)
                await self._send_all(self._stream.push(self._converter.convert(block)))

    def _start_schedule(self, block_s: float) -> None:
        """Start the schedule at the first block; a live block was recorded before it arrived."""
        if self._options.realtime and self._schedule is None:
            elapsed_s = block_s if self._input.source.live else 0.0
            clock = self._context.clock
            self._schedule = RealtimeSchedule(
                clock.now_s() - elapsed_s, clock.now_ms() - round(elapsed_s * 1000), self._wire.rate
            )

    async def _send_all(self, chunks: Iterable[TimedChunk]) -> None:
        for timed in chunks:
            await self._send(timed)
            if self._context.stop.is_set():
                return

    async def _end(self) -> None:
        if self._context.stop.is_set():
            self._stream.drop_rest()
        if not self._stream.empty:
            await self._send(self._stream.finish())

    async def _send(self, timed: TimedChunk) -> None:
        clock, schedule, chunk = self._context.clock, self._schedule, timed.chunk
        if schedule is None:
            await clock.wait(0.0, self._context.stop)
        else:
            await clock.wait(schedule.due_s(timed.end) - clock.now_s(), self._context.stop)
            chunk = replace(chunk, captured_ms=schedule.captured_ms(timed.start))
        await self._context.send(chunk)
        self._context.reporter.advanced(self._input, self._stream.seconds)
