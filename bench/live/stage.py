"""A real broker, readers that run all along, and one real worker at a time that is spoken to."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.chaos.readers import follow
from bench.live.contestants import Contestant, Read
from bench.live.heard import Act, Axis, Ended, Heard, Look, Played
from bench.live.programme import Programme
from bench.live.watch import watch
from bench.progress import Advance
from consumer.core.audio.utterance import WHISPER_RATE
from devstack.kafka import LocalKafka
from devstack.worker_process import WorkerProcess
from producer.media import AudioFormat
from producer.pacing import RealtimeClock, RealtimeSchedule
from producer.publisher import AudioPublisher
from producer.stream import OutgoingStream, PublishOptions, TimedChunk
from schemas.audio import AudioCodec, StreamOptions
from schemas.topics import Topics
from transport.cluster import create_topics

PARTITIONS: Final = 4
CHUNK_MS: Final = 100
_BEGIN_S: Final = 0.5  # from the decision to speak to the first sample
_POLL_S: Final = 0.2
_STEP: Final = WHISPER_RATE * CHUNK_MS // 1000


@dataclass(slots=True)
class Book:
    """What the readers of one contestant have seen."""

    read: Read
    heard: list[Heard] = field(default_factory=list)

    def take(self, record: Any, at_s: float) -> None:
        if (heard := self.read(record, at_s)) is not None:
            self.heard.append(heard)


class Seat:
    """One worker, ready, on topics that nobody used before it."""

    def __init__(
        self, name: str, bootstrap: str, topics: Topics, worker: WorkerProcess, read: Read
    ) -> None:
        self.name = name
        self.topics = topics
        self.book = Book(read)
        self._bootstrap = bootstrap
        self._worker = worker

    async def play(self, act: Act, advance: Advance) -> Played:
        """Speak all programmes and wait until all have ended, or patience is over."""
        seen, before_s = len(self.book.heard), cpu_s(self._worker.pid)
        looks: list[Look] = []
        async with (
            AudioPublisher(self._bootstrap, self.topics.audio) as publisher,
            asyncio.TaskGroup() as group,
        ):
            speaker = _Speaker(publisher, act)
            beside = (self._worker.watch(), _tick(advance, self.name), watch(self._worker, looks))
            tasks = [group.create_task(each) for each in beside]
            await asyncio.gather(*(speaker.speak(each) for each in act.programmes))
            await self._until_ended(seen, act)
            for task in tasks:
                task.cancel()
        heard = self.book.heard[seen:]
        return Played(
            act=act,
            axis=Axis(speaker.pace.start_s, act.pace),
            heard=heard,
            ended=_ended(heard),
            until_s=time.monotonic(),
            cpu_s=cpu_s(self._worker.pid) - before_s,
            late_s=speaker.late_s,
            looks=looks,
        )

    async def _until_ended(self, seen: int, act: Act) -> None:
        names = {programme.stream_id for programme in act.programmes}
        with suppress(TimeoutError):
            async with asyncio.timeout(act.patience_s):
                while names - _ended(self.book.heard[seen:]):  # noqa: ASYNC110 - a list has no event
                    await asyncio.sleep(_POLL_S)


def _ended(heard: Sequence[Heard]) -> frozenset[str]:
    return frozenset(each.stream_id for each in heard if isinstance(each, Ended))


class _Speaker:
    """Publishes programmes as they are spoken."""

    def __init__(self, publisher: AudioPublisher, act: Act) -> None:
        self._publisher, self._act = publisher, act
        self._clock, self._never = RealtimeClock(), asyncio.Event()
        self.late_s = 0.0  # most that a chunk came late
        begin_ms = self._clock.now_ms() + round(_BEGIN_S * 1000)
        rate = round(WHISPER_RATE * act.pace)
        self.pace = RealtimeSchedule(self._clock.now_s() + _BEGIN_S, begin_ms, rate)

    async def speak(self, programme: Programme) -> None:
        for cut in cuts(programme, self._act):
            due_s = self.pace.due_s(cut.end)
            await self._clock.wait(due_s - self._clock.now_s(), self._never)
            self.late_s = max(self.late_s, self._clock.now_s() - due_s)
            captured_ms = self.pace.captured_ms(cut.start)
            await self._publisher.send(replace(cut.chunk, captured_ms=captured_ms))


def cuts(programme: Programme, act: Act) -> Iterator[TimedChunk]:
    """Its records in order, each made when it is asked for."""
    languages = (programme.language,) if programme.language else None
    options = StreamOptions(languages=languages, partials=act.partials)
    manner = PublishOptions(AudioCodec.PCM_S16LE, CHUNK_MS, realtime=True, options=options)
    stream = OutgoingStream(programme.stream_id, AudioFormat(WHISPER_RATE, 1), manner)
    for start in range(0, programme.length, _STEP):
        end = min(programme.length, start + _STEP)
        yield from stream.push(programme.samples(start, end)[:, None])
    yield stream.finish()


async def _tick(advance: Advance, name: str) -> None:
    while True:
        await asyncio.sleep(1.0)
        advance(1.0, name)


def cpu_s(pid: int) -> float:
    """Processor time of a process and all its threads, as Linux counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stage:
    """A broker; contestants take their seats one after the other."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self._bootstrap, self._folder = bootstrap, folder
        self._numbers = count(1)

    @asynccontextmanager
    async def seat(self, contestant: Contestant) -> AsyncIterator[Seat]:
        """Readers run, and its worker, which raises DevstackError when it ends by itself."""
        prefix = f"{contestant.name}-{next(self._numbers)}"
        topics, bootstrap = Topics(prefix), self._bootstrap
        await create_topics(bootstrap, topics, partitions=PARTITIONS)
        given = {"bootstrap": bootstrap, "prefix": prefix, "group": prefix}
        log_file = self._folder / f"{prefix}.log"
        worker = WorkerProcess(given | dict(contestant.settings), log_file, contestant.command)
        seat = Seat(contestant.name, bootstrap, topics, worker, contestant.read)
        async with asyncio.TaskGroup() as group:
            reading = [
                group.create_task(follow(bootstrap, topic, seat.book.take))
                for topic in (topics.transcripts, topics.partials)
            ]
            await worker.start()
            try:
                yield seat
            finally:
                await worker.kill()  # nothing is lost by it: all that is measured was read
            for task in reading:
                task.cancel()


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Logs lie in `folder`."""
    async with LocalKafka() as kafka:
        yield Stage(kafka.bootstrap, folder)
