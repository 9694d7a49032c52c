"""One number of live streams on a real broker and real workers: what they take, and how late."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

from aiokafka import AIOKafkaProducer

from bench.engine.memory import resident
from bench.host.looped_speech import RECORD_MS
from bench.live.environment import cpu_s
from bench.scale.speech_load import (
    MAX_BATCH_BYTES,
    PHASE_MS,
    PHASES,
    Load,
    SpokenClip,
    SpokenStream,
)
from bench.scale.worker import WorkerReport, read_report
from devstack.errors import DevstackError
from devstack.kafka import LocalKafka
from devstack.worker_process import WorkerProcess
from schemas.audio import StreamOptions
from schemas.topics import Topics
from schemas.transcript import TranscriptFinal
from subscriber.reader import TranscriptReader
from transport.cluster import create_topics
from transport.start import Edge

PARTITIONS: Final = 4
GRACE_S: Final = 10.0  # for the last finals, and for a report
_LEAD_S: Final = 0.5
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class ScaleRun:
    """What is to be run."""

    streams: int
    workers: int
    seconds: float  # measured
    warm_up_s: float  # before, with all streams
    partials: bool
    worker: tuple[str, ...]  # arguments of the workers, but for their report


@dataclass(slots=True)
class ScaleResult:
    """What was measured while all streams were live."""

    run: ScaleRun
    reports: list[WorkerReport]
    broker_cpu_s: float
    load_cpu_s: float  # of this process: it publishes and reads
    grown_mb: float  # resident memory of all workers since they were ready
    late_ms: float  # the latest turn of the publisher
    expected: int  # utterances that were decided in the measured time
    added_ms: list[float] = field(default_factory=list)  # of their finals
    unexpected: int = 0  # finals that are of no utterance, or a second one


async def measured_load(
    kafka: LocalKafka, run: ScaleRun, clips: Sequence[SpokenClip], folder: Path
) -> ScaleResult:
    """Run the streams. Raises DevstackError if a worker ends, or is not ready."""
    topics = Topics(f"scale-{uuid4().hex[:8]}")
    await create_topics(kafka.bootstrap, topics, partitions=PARTITIONS)
    options = StreamOptions(partials=run.partials)
    streams = [
        SpokenStream(number, clips[number % len(clips)], options) for number in range(run.streams)
    ]
    reports = [folder / f"{topics.prefix}-{number}.json" for number in range(run.workers)]
    async with (
        _workers(kafka, topics, run, reports) as workers,
        AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, acks=1, max_batch_size=MAX_BATCH_BYTES
        ) as producer,
        TranscriptReader(kafka.bootstrap, topics.transcripts, start=Edge.BEGINNING) as reader,
    ):
        load = Load(producer, topics.audio, streams, PARTITIONS)
        measurement = _LoadMeasurement(kafka, run, workers, reports, streams)
        received = asyncio.create_task(measurement.read(reader))
        try:
            await measurement.play(load)
        finally:
            received.cancel()
        return measurement.result()


@asynccontextmanager
async def _workers(
    kafka: LocalKafka, topics: Topics, run: ScaleRun, reports: Sequence[Path]
) -> AsyncIterator[list[WorkerProcess]]:
    settings = {
        "bootstrap": kafka.bootstrap,
        "prefix": topics.prefix,
        "group": topics.prefix,
        "max_streams": str(max(1, run.streams)),
        "new_streams_per_s": str(run.streams + 1),
        "threads": "1",
    }
    workers = [
        WorkerProcess(
            settings,
            report.with_suffix(".log"),
            ("bench.scale.worker", "--report", str(report), *run.worker),
        )
        for report in reports
    ]
    async with AsyncExitStack() as stack:
        for worker in workers:
            stack.push_async_callback(worker.kill)  # no need to drain
            await worker.start()
        yield workers


class _LoadMeasurement:
    """One run over the streams."""

    def __init__(
        self,
        kafka: LocalKafka,
        run: ScaleRun,
        workers: Sequence[WorkerProcess],
        reports: Sequence[Path],
        streams: Sequence[SpokenStream],
    ) -> None:
        self._broker = kafka.pid(kafka.nodes[0])
        self._run = run
        self._workers = workers
        self._reports = reports
        self._streams = {stream.stream_id: stream for stream in streams}
        self._received: dict[tuple[str, int], float] = {}  # stream and end: Unix ms
        self._repeats = 0
        self._late_ms = 0.0
        self._start_ms = 0  # Unix time of the first turn
        self._cpu_s = (0.0, 0.0)  # of the broker and this process, while all streams are live
        self._ready_mb = sum(resident(worker.pid).now_mb for worker in workers)
        self._grown_mb = 0.0

    async def read(self, reader: TranscriptReader) -> None:
        """Note when each final comes, until cancelled."""
        async for event in reader:
            if isinstance(event, TranscriptFinal):
                key = event.stream_id, event.end_sample
                self._repeats += key in self._received
                self._received.setdefault(key, time.time() * 1000)

    async def play(self, load: Load) -> None:
        run = self._run
        warm_up = round(run.warm_up_s * 1000 / RECORD_MS)
        end = warm_up + round(run.seconds * 1000 / RECORD_MS)
        began_s = time.monotonic() + _LEAD_S
        self._start_ms = round((time.time() + _LEAD_S) * 1000)
        for number in range(end):
            if number == warm_up:
                self._begin()
            for phase in range(PHASES):
                await self._turn(load, began_s, number, phase)
        await self._end()

    async def _turn(self, load: Load, began_s: float, number: int, phase: int) -> None:
        at_ms = number * RECORD_MS + phase * PHASE_MS  # its last sample
        due_s = began_s + at_ms / 1000
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        self._late_ms = max(self._late_ms, 1000 * (time.monotonic() - due_s))
        await load.publish(number, phase, self._start_ms + at_ms - RECORD_MS)

    def _begin(self) -> None:
        self._cpu_s = cpu_s(self._broker), time.process_time()
        self._late_ms = 0.0
        for worker in self._workers:
            worker.signal(signal.SIGUSR1)

    async def _end(self) -> None:
        for worker in self._workers:
            worker.signal(signal.SIGUSR2)
        self._cpu_s = (
            cpu_s(self._broker) - self._cpu_s[0],
            time.process_time() - self._cpu_s[1],
        )
        self._grown_mb = sum(resident(worker.pid).now_mb for worker in self._workers)
        self._grown_mb -= self._ready_mb
        due_s = time.monotonic() + GRACE_S
        while time.monotonic() < due_s and not self._is_complete():  # noqa: ASYNC110 - a file, too
            await asyncio.sleep(_POLL_S)

    def _is_complete(self) -> bool:
        reported = all(report.exists() for report in self._reports)
        return reported and all(key in self._received for key in self._due())

    def _due(self) -> dict[tuple[str, int], float]:
        """Return when the end of each utterance was certain, of those in the measured time."""
        first_ms, seconds_ms = self._run.warm_up_s * 1000, self._run.seconds * 1000
        found: dict[tuple[str, int], float] = {}
        for stream in self._streams.values():
            for utterance in stream.spoken.utterances:
                at_ms = utterance.decided_in * RECORD_MS + stream.phase * PHASE_MS
                if first_ms <= at_ms < first_ms + seconds_ms:
                    found[stream.stream_id, utterance.end] = self._start_ms + at_ms
        return found

    def result(self) -> ScaleResult:
        reports = [report for file in self._reports if (report := read_report(file)) is not None]
        if len(reports) < len(self._reports):
            raise DevstackError(f"a worker has written no report: see {self._reports[0].parent}")
        due = self._due()
        known = {
            (stream.stream_id, utterance.end)
            for stream in self._streams.values()
            for utterance in stream.spoken.utterances
        }
        return ScaleResult(
            run=self._run,
            reports=reports,
            broker_cpu_s=self._cpu_s[0],
            load_cpu_s=self._cpu_s[1],
            grown_mb=self._grown_mb,
            late_ms=self._late_ms,
            expected=len(due),
            added_ms=[self._received[key] - at for key, at in due.items() if key in self._received],
            unexpected=self._repeats + len(self._received.keys() - known),
        )
