"""One real worker on a real broker, to which scenarios are played."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

import aiohttp

from bench.engine.memory import resident
from bench.framework import Advance
from bench.live.conversations import Conversation, LiveScenario
from bench.live.observations import LagSample, Observation, PlaybackClock, ReceivedEvent
from bench.live.systems import System
from bench.scraped import TIMEOUT, scraped
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.wakeup import Wakeup
from devstack.worker_process import WorkerProcess
from producer.formats import AudioFormat
from producer.pacing import RealtimeClock, RealtimeSchedule
from producer.publisher import AudioPublisher
from producer.stream import OutgoingStream, PublishOptions, TimedChunk
from schemas.audio import AudioCodec, StreamOptions
from schemas.topics import Topics
from schemas.transcript import AnyEvent, StreamEnded
from subscriber.reader import TranscriptReader
from transport.cluster import create_topics
from transport.start import Edge

PARTITIONS: Final = 4
CHUNK_MS: Final = 100
_LEAD_S: Final = 0.5  # from the start of a scenario to its first sample
_SAMPLE_EVERY_S: Final = 1.0
_LAG: Final = "streamscribe_lag_seconds"


@asynccontextmanager
async def start_worker(
    bootstrap: str, system: System, log_folder: Path
) -> AsyncIterator[WorkerSession]:
    """Start a worker on topics of its own, and readers of them; kill it on leaving.

    Raises DevstackError when the worker does not become ready.
    """
    topics = Topics(f"{system.name}-{uuid4().hex[:8]}")
    await create_topics(bootstrap, topics, partitions=PARTITIONS)
    settings = {"bootstrap": bootstrap, "prefix": topics.prefix, "group": topics.prefix}
    log_file = log_folder / f"{topics.prefix}.log"
    worker = WorkerProcess(settings | dict(system.settings), log_file, system.command)
    session = WorkerSession(system, bootstrap, topics, worker)
    async with asyncio.TaskGroup() as group:
        readers = [
            group.create_task(session.read(topic))
            for topic in (topics.transcripts, topics.partials)
        ]
        await worker.start()
        try:
            yield session
        finally:
            await worker.kill()  # no need to drain: all that is measured was received
        for reader in readers:
            reader.cancel()


class WorkerSession:
    """A ready worker and all that was received from it."""

    def __init__(
        self, system: System, bootstrap: str, topics: Topics, worker: WorkerProcess
    ) -> None:
        self._system, self._worker = system, worker
        self._bootstrap, self._topics = bootstrap, topics
        self._received: list[ReceivedEvent[AnyEvent]] = []
        self._ended: set[str] = set()  # stream ids
        self._stream_ended = Wakeup()

    async def read(self, topic: str) -> None:
        """Receive all events of a topic, until cancelled."""
        async with TranscriptReader(self._bootstrap, topic, start=Edge.BEGINNING) as reader:
            async for event in reader:
                self._received.append(ReceivedEvent(time.monotonic(), event))
                if isinstance(event, StreamEnded):
                    self._ended.add(event.stream_id)
                    self._stream_ended.notify()

    async def play(self, scenario: LiveScenario, advance: Advance) -> Observation:
        """Publish a scenario and wait until all its streams have ended, or patience is over.

        Raises DevstackError when the worker ends, PublishError.
        """
        first, cpu_before_s = len(self._received), cpu_s(self._worker.pid)
        lag_samples: list[LagSample] = []
        async with (
            AudioPublisher(self._bootstrap, self._topics.audio) as publisher,
            asyncio.TaskGroup() as group,
        ):
            watch = group.create_task(self._worker.watch())
            sample = group.create_task(self._sample_lag(lag_samples, scenario.seconds, advance))
            schedule = start_schedule(scenario.pace)
            late_s = await asyncio.gather(
                *(publish(publisher, each, scenario, schedule) for each in scenario.conversations)
            )
            await self._wait_for_ends(scenario)
            watch.cancel()
            sample.cancel()
        return Observation(
            scenario=scenario,
            clock=PlaybackClock(schedule.start_s, scenario.pace),
            received=self._received[first:],
            ended=frozenset(self._ended),
            until_s=time.monotonic(),
            cpu_s=cpu_s(self._worker.pid) - cpu_before_s,
            late_s=max(late_s),
            lag_samples=lag_samples,
        )

    async def _wait_for_ends(self, scenario: LiveScenario) -> None:
        stream_ids = {each.stream_id for each in scenario.conversations}
        with suppress(TimeoutError):
            async with asyncio.timeout(scenario.patience_s):
                while not stream_ids <= self._ended:
                    await self._stream_ended.wait()

    async def _sample_lag(
        self, samples: list[LagSample], seconds: float, advance: Advance
    ) -> NoReturn:
        """Append a sample each second, if the worker has metrics; report progress of `seconds`."""
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            while True:
                await asyncio.sleep(_SAMPLE_EVERY_S)
                advance(min(_SAMPLE_EVERY_S, seconds), self._system.name)
                seconds = max(0.0, seconds - _SAMPLE_EVERY_S)
                metrics = await scraped(session, self._worker.url)
                if lags := [sample.value for sample in metrics if sample.name == _LAG]:
                    memory = resident(self._worker.pid)
                    samples.append(LagSample(time.monotonic(), max(lags), memory.now_mb))


def start_schedule(pace: float) -> RealtimeSchedule:
    """Return a schedule that starts soon; at a faster pace its sample rate is higher."""
    clock = RealtimeClock()
    start_ms = clock.now_ms() + round(_LEAD_S * 1000)
    return RealtimeSchedule(clock.now_s() + _LEAD_S, start_ms, round(WHISPER_RATE * pace))


async def publish(
    publisher: AudioPublisher,
    conversation: Conversation,
    scenario: LiveScenario,
    schedule: RealtimeSchedule,
) -> float:
    """Publish a stream on schedule; return the longest that a chunk was late, in seconds."""
    clock, never = RealtimeClock(), asyncio.Event()
    late_s = 0.0
    for chunk, start, end in chunks(conversation, partials=scenario.partials):
        due_s = schedule.due_s(end)
        await clock.wait(due_s - clock.now_s(), never)
        late_s = max(late_s, clock.now_s() - due_s)
        await publisher.send(replace(chunk, captured_ms=schedule.captured_ms(start)))
    return late_s


def chunks(conversation: Conversation, *, partials: bool) -> Iterator[TimedChunk]:
    """Yield the chunks of a stream, each made when it is asked for."""
    languages = (conversation.language,) if conversation.language else None
    stream_options = StreamOptions(languages=languages, partials=partials)
    options = PublishOptions(AudioCodec.PCM_S16LE, CHUNK_MS, realtime=True, options=stream_options)
    stream = OutgoingStream(conversation.stream_id, AudioFormat(WHISPER_RATE, 1), options)
    step = WHISPER_RATE * CHUNK_MS // 1000
    for start in range(0, conversation.length, step):
        end = min(conversation.length, start + step)
        yield from stream.push(conversation.samples(start, end)[:, None])
    yield stream.finish()


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and all its threads (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
