"""A worker in simulated time: the real pipeline over simulated shells, with reproducible results.

Nothing sleeps. The clock of the event loop jumps to the next due time, so that every wait of the
pipeline, timeouts included, takes simulated seconds.
"""

from __future__ import annotations

import asyncio
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from selectors import SelectorKey, SelectSelector
from typing import Final

from consumer.core.partition.commit import Commit
from consumer.core.partition.policy import PartitionPolicy
from consumer.core.scheduling.capacity import (
    CONTEXT,
    Backpressure,
    BatchTiming,
    Budget,
    measured_budget,
    positions,
)
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.jobs import Batch, Job
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, Record
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine.local import LocalEngine
from consumer.interfaces import Codecs, Shells, Timeouts
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.testing.doubles import (
    EchoEngine,
    InlineCodecs,
    MemoryBroadcast,
    MemoryJournal,
    MemoryStore,
)
from schemas.transcript import AnyEvent, TranscriptFinal

START_MS: Final = 1_700_000_000_000  # Unix time at simulated 0.0
POLL_S: Final = 0.05  # longest wait for a record
POLL_RECORDS: Final = 500
COMMIT_S: Final = 0.03
SAMPLE_S: Final = 0.25  # between two samples of lag and memory
_TIMEOUTS: Final = Timeouts(coalesce_s=0.02, progress_s=5.0, retry_s=1.0, halt_s=30.0, drain_s=60.0)
_LOOP_TOKENS: Final = 224  # of a text that repeats itself up to the token limit
_FALLBACK_ROWS: Final = (1, 1, 5)  # of an utterance's attempts: folded, padded, 5 temperatures


@dataclass(frozen=True, slots=True)
class CostModel:
    """The duration of a batch: its encoder positions, and the decoder steps of all rows."""

    position_s: float
    step_s: float  # of a step, for any number of rows
    row_step_s: float  # of each row of a step
    tokens_per_s: float = 5.5  # of speech
    extra_tokens: float = 2  # the end token, and punctuation

    def of(self, seconds: Sequence[float]) -> float:
        """Return the duration of a batch of utterances of these lengths."""
        padded = len(seconds) * max(positions(each) for each in seconds)
        return self.of_texts(padded, [self.tokens(each) for each in seconds])

    def of_texts(self, padded: int, tokens: Sequence[float]) -> float:
        """Return the duration of a batch of `padded` positions, given the tokens of each row."""
        return padded * self.position_s + max(tokens) * self.step_s + sum(tokens) * self.row_step_s

    def tokens(self, seconds: float) -> float:
        return self.extra_tokens + self.tokens_per_s * seconds

    def budget(self, rows: int) -> Budget:
        """Return the budget that an engine of this cost measures at warm-up."""
        small, large = (BatchTiming(n * positions(4.0), self.of([4.0] * n)) for n in (1, 8))
        return measured_budget(small, large, rows=rows)


# Whisper base on two CPU cores, as measured: 4 s of speech in 0.108 s, eight times that in 0.43 s.
BASE_ON_TWO_CORES: Final = CostModel(position_s=93.8e-6, step_s=2.6e-3, row_step_s=0.76e-3)


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """How many texts are not accepted, and how they are decoded again."""

    share: float = 0.0  # of utterances that need every attempt: their text is a loop
    in_one_call: bool = False  # all attempts in one call of the engine; else one per job

    def affects(self, job: Job) -> bool:
        """Return whether the utterance needs every attempt."""
        name = f"{job.id.session.stream_id}/{job.id.utterance}".encode()
        return zlib.crc32(name) % 10_000 < self.share * 10_000


class SimulatedEngine(EchoEngine):
    """An echo engine that takes the time of the cost model."""

    def __init__(self, cost: CostModel, fallbacks: Fallbacks, window_ms: int = 32) -> None:
        super().__init__(window_ms)
        self._cost = cost
        self._fallbacks = fallbacks
        self.busy_s = 0.0

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        seconds = self._takes_s(batch.jobs)
        self.busy_s += seconds
        await asyncio.sleep(seconds)
        texts = await super().transcribe(batch)
        return [self._assessed(job, text) for job, text in zip(batch.jobs, texts, strict=True)]

    def _assessed(self, job: Job, text: Hypothesis) -> Hypothesis:
        """Return the text, marked as not accepted if another attempt is due."""
        is_last = self._fallbacks.in_one_call or len(job.earlier) + 1 == len(_FALLBACK_ROWS)
        if is_last or not self._fallbacks.affects(job):
            return text
        return replace(text, earlier=(*job.earlier, text))

    def _takes_s(self, jobs: Sequence[Job]) -> float:
        seconds = self._attempt_s(jobs, len(jobs[0].earlier))
        repeated = [job for job in jobs if self._fallbacks.affects(job)]
        if self._fallbacks.in_one_call and repeated:
            later = range(1, len(_FALLBACK_ROWS))
            seconds += sum(self._attempt_s(repeated, number) for number in later)
        return seconds

    def _attempt_s(self, jobs: Sequence[Job], number: int) -> float:
        lengths = [job.utterance.seconds for job in jobs]
        length = CONTEXT if number else max(map(positions, lengths))
        tokens = [
            _LOOP_TOKENS if self._fallbacks.affects(job) else self._cost.tokens(seconds)
            for job, seconds in zip(jobs, lengths, strict=True)
        ]
        return self._cost.of_texts(len(jobs) * length, tokens * _FALLBACK_ROWS[number])


class _JumpingSelector(SelectSelector):
    """A selector that returns at once and advances its time by the timeout."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        assert timeout is not None, "no timer is due: the simulation is stuck"
        self.now_s += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in simulated time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


class LoopClock:
    """The loop's time, and a Unix time that advances with it."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def unix_ms(self) -> int:
        return START_MS + round(self.monotonic() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedSource:
    """A source whose records appear at their append times; each log is in that order."""

    def __init__(self, logs: Mapping[Partition, Sequence[Record]], planner: Planner) -> None:
        self._logs = logs
        self._planner = planner
        self._positions: dict[Partition, int] = {}
        self._is_assigned = False
        self.waiting_s: list[float] = []  # seconds of speech in the planner at each fetch
        self.polled_at: list[float] = []

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Return live records before bulk ones."""
        self.polled_at.append(LoopClock().monotonic())
        due = [p for p in sorted(self._positions, key=_lane) if _lane(p) in lanes]
        if not any(self._available(partition) for partition in due):
            await asyncio.sleep(POLL_S)
        records = [record for partition in due for record in self._take(partition)]
        fetched = {record.partition for record in records}
        waiting = {p for p in self._positions if p in fetched or self._available(p)}
        assigned = None if self._is_assigned else tuple(Assignment(p, _lane(p)) for p in self._logs)
        self._is_assigned = True
        return Poll(assigned, (), tuple(records), frozenset(self._positions.keys() - waiting))

    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, partition: Partition) -> None:
        self._positions.pop(partition, None)

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Do nothing: no dashboard is simulated."""

    def _available(self, partition: Partition) -> Sequence[Record]:
        """Return the records that are appended and not fetched."""
        log, at = self._logs[partition], self._positions[partition]
        now_ms = LoopClock().unix_ms()
        return log[at : bisect_left(log, now_ms, lo=at, key=lambda record: record.timestamp_ms)]

    def _take(self, partition: Partition) -> Sequence[Record]:
        taken = self._available(partition)[:POLL_RECORDS]
        if taken:
            self.waiting_s.append(sum(self._planner.waiting_s(lane) for lane in Lane))
            self._positions[partition] += len(taken)
        return taken


def _lane(partition: Partition) -> Lane:
    return Lane.BULK if "bulk" in partition.topic else Lane.LIVE


class SimulatedJournal(MemoryJournal):
    """A journal whose commits take COMMIT_S."""

    async def commit(self, commit: Commit) -> None:
        await asyncio.sleep(COMMIT_S)
        await super().commit(commit)


class SimulatedStore(MemoryStore):
    """A store that also keeps the commit time of every final, in simulated seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.finals: list[tuple[float, TranscriptFinal]] = []

    def make_journal(self, partition: Partition) -> MemoryJournal:
        return SimulatedJournal(self, self.found(partition))

    def accept(self, journal: MemoryJournal, commit: Commit) -> None:
        super().accept(journal, commit)
        now = LoopClock().monotonic()
        finals = (event for event in commit.events if isinstance(event, TranscriptFinal))
        self.finals += ((now, final) for final in finals)


class SimulatedBroadcast(MemoryBroadcast):
    """A broadcast that also keeps the time of every event, in simulated seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[tuple[float, AnyEvent]] = []

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        now = LoopClock().monotonic()
        self.published += ((now, event) for event in events)
        await super().publish(events)


@dataclass
class Simulation:
    """One worker that reads these logs until `until_s`; `run` fills the results."""

    logs: Mapping[Partition, Sequence[Record]]
    policies: Mapping[Lane, PartitionPolicy]
    until_s: float
    planner: Planner
    engine: SimulatedEngine
    pause_above_s: Mapping[Lane, float] = field(
        default_factory=lambda: {Lane.LIVE: 300.0, Lane.BULK: 60.0}
    )
    drains: bool = True  # whether it ends with a drain; else by cancelling the pipeline
    codecs: Codecs = field(default_factory=InlineCodecs)
    metrics: Metrics = field(default_factory=Metrics)
    store: SimulatedStore = field(default_factory=SimulatedStore)
    broadcast: SimulatedBroadcast = field(default_factory=SimulatedBroadcast)
    lags: list[tuple[float, float]] = field(default_factory=list)  # (time, lag) in s
    held_s: list[float] = field(default_factory=list)  # audio in memory, sampled

    def __post_init__(self) -> None:
        self.source = SimulatedSource(self.logs, self.planner)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        stop, pipeline = asyncio.Event(), self._pipeline()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(pipeline.run(stop))
            while (now := LoopClock().monotonic()) < self.until_s:
                self.lags.append((now, _lag_s(pipeline, now)))
                self.held_s.append(self._held_s(pipeline))
                await asyncio.sleep(SAMPLE_S)
            stop.set() if self.drains else running.cancel()

    def _pipeline(self) -> Pipeline:
        clock = LoopClock()
        shells = Shells(
            source=self.source,
            codecs=self.codecs,
            detector=self.engine,
            engine=LocalEngine(self.engine, self.planner, clock, self.metrics, FoldAudit(0.0)),
            store=self.store,
            broadcast=self.broadcast,
            clock=clock,
        )
        marks = self.pause_above_s
        return Pipeline(
            shells,
            self.policies,
            {lane: Backpressure(mark, mark / 2) for lane, mark in marks.items()},
            timeouts=_TIMEOUTS,
            metrics=self.metrics,
        )

    def _held_s(self, pipeline: Pipeline) -> float:
        """Return the seconds of undecided audio and of utterances that wait."""
        open_s = sum(task.undecided_s for task in pipeline.tasks)
        return open_s + sum(self.planner.waiting_s(lane) for lane in Lane)


def _lag_s(pipeline: Pipeline, now: float) -> float:
    now_ms = LoopClock().unix_ms()
    return max((task.lag_ms(now, now_ms) for task in pipeline.tasks), default=0) / 1000


def in_order(records: Iterable[Record]) -> list[Record]:
    """Return the records as a log: in the order of their append times, with new offsets."""
    ordered = sorted(records, key=lambda record: record.timestamp_ms)
    return [record._replace(offset=offset) for offset, record in enumerate(ordered)]
