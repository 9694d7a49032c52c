"""A worker in simulated time: nothing sleeps, and one input gives one result.

The event loop's clock leaps to whatever is due next, so all that waits, waits in simulated seconds:
the pipeline is the real one, and so are its timeouts.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from selectors import SelectorKey, SelectSelector

from builders import policy

from consumer.core.partition.commit import Commit
from consumer.core.partition.interim import InterimPolicy
from consumer.core.scheduling.capacity import Backpressure, BatchTiming, measured_budget, positions
from consumer.core.scheduling.fold_audit import FoldAudit
from consumer.core.scheduling.jobs import Batch
from consumer.core.scheduling.planner import Planner
from consumer.core.streams.records import Assignment, Lane, Partition, Poll, Record
from consumer.core.text.hypothesis import Hypothesis
from consumer.interfaces import Codecs, Shells, Timeouts
from consumer.metrics import Metrics
from consumer.pipeline import Pipeline
from consumer.testing import EchoEngine, InlineCodecs, MemoryBroadcast, MemoryJournal, MemoryStore
from schemas.transcript import AnyEvent, TranscriptFinal

START_MS = 1_700_000_000_000  # Unix time at simulated 0.0
POLL_S = 0.05  # the longest wait for a record
POLL_RECORDS = 500
COMMIT_S = 0.03
# Whisper base on two CPU cores as first measured: utterances of 4 s.
ONE, EIGHT = BatchTiming(positions(4.0), 0.108), BatchTiming(8 * positions(4.0), 0.43)
BUDGET = measured_budget(ONE, EIGHT, rows=16)
POSITION_S = (EIGHT.seconds - ONE.seconds) / (EIGHT.positions - ONE.positions)


def decode_s(seconds: Sequence[float]) -> float:
    """Of a batch of utterances so long."""
    longest = max(positions(each) for each in seconds)
    return (BUDGET.overhead + len(seconds) * longest) * POSITION_S


class _Leaping(SelectSelector):
    """Waits for nothing: time passes by what it was to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        assert timeout is not None, "nothing is due any more"
        self.now_s += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaping = _Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.now_s


class LoopClock:
    """The loop's time, and a date that goes with it."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def unix_ms(self) -> int:
        return START_MS + round(self.monotonic() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Arriving:
    """Records that come at their append times; those of a log are in its order."""

    def __init__(self, logs: Mapping[Partition, Sequence[Record]], planner: Planner) -> None:
        self._logs = logs
        self._planner = planner
        self._positions: dict[Partition, int] = {}
        self._is_assigned = False
        self.waited_s: list[float] = []  # seconds of speech, whenever more was fetched
        self.polled_at: list[float] = []

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        """Live before bulk."""
        self.polled_at.append(LoopClock().monotonic())
        due = [p for p in sorted(self._positions, key=_lane) if _lane(p) in lanes]
        await self._wait(due)
        records = [record for partition in due for record in self._take(partition)]
        busy = {record.partition for record in records}
        waits = {p for p in self._positions if p in busy or self._waiting(p)}
        assigned = None if self._is_assigned else [Assignment(p, _lane(p)) for p in self._logs]
        self._is_assigned = True
        caught_up = frozenset(self._positions.keys() - waits)
        return Poll(assigned and tuple(assigned), (), tuple(records), caught_up)

    def seek(self, partition: Partition, offset: int) -> None:
        self._positions[partition] = offset

    def pause(self, partition: Partition) -> None:
        self._positions.pop(partition, None)

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        """Nobody asks."""

    async def _wait(self, due: Iterable[Partition]) -> None:
        if not any(self._waiting(partition) for partition in due):
            await asyncio.sleep(POLL_S)

    def _waiting(self, partition: Partition) -> Sequence[Record]:
        """Of its log, what can be read now."""
        log, at = self._logs[partition], self._positions[partition]
        now_ms = LoopClock().unix_ms()
        return log[at : bisect_left(log, now_ms, lo=at, key=lambda record: record.timestamp_ms)]

    def _take(self, partition: Partition) -> Sequence[Record]:
        taken = self._waiting(partition)[:POLL_RECORDS]
        if taken:
            self.waited_s.append(sum(self._planner.waiting_s(lane) for lane in Lane))
            self._positions[partition] += len(taken)
        return taken


def _lane(partition: Partition) -> Lane:
    return Lane.BULK if "bulk" in partition.topic else Lane.LIVE


class TimedEngine(EchoEngine):
    """Takes as long as it was measured to."""

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        await asyncio.sleep(decode_s([job.utterance.seconds for job in batch.jobs]))
        return await super().transcribe(batch)


class TimedJournal(MemoryJournal):
    async def commit(self, commit: Commit) -> None:
        await asyncio.sleep(COMMIT_S)
        await super().commit(commit)


class TimedStore(MemoryStore):
    """Knows when every final was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.finals: list[tuple[float, TranscriptFinal]] = []

    async def open(self, partition: Partition) -> MemoryJournal:
        await super().open(partition)
        journal = self._owners[partition] = TimedJournal(self, self.found(partition))
        return journal

    def accept(self, journal: MemoryJournal, commit: Commit) -> None:
        super().accept(journal, commit)
        now = LoopClock().monotonic()
        finals = (event for event in commit.events if isinstance(event, TranscriptFinal))
        self.finals += ((now, final) for final in finals)


class TimedBroadcast(MemoryBroadcast):
    """Knows when everything was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[float, AnyEvent]] = []

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        now = LoopClock().monotonic()
        self.told += ((now, event) for event in events)
        await super().publish(events)


@dataclass
class Worker:
    """One worker with these logs to read, until `until_s`."""

    logs: Mapping[Partition, Sequence[Record]]
    until_s: float
    pause_above_s: float = 300.0
    codecs: Codecs = field(default_factory=InlineCodecs)
    metrics: Metrics = field(default_factory=Metrics)
    store: TimedStore = field(default_factory=TimedStore)
    broadcast: TimedBroadcast = field(default_factory=TimedBroadcast)
    lags: list[tuple[float, float]] = field(default_factory=list)  # when, and how late; s
    held_s: list[float] = field(default_factory=list)  # audio in memory

    def run(self) -> None:
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(self._live())

    async def _live(self) -> None:
        planner, stop = Planner(BUDGET), asyncio.Event()
        self.source = Arriving(self.logs, planner)
        marks = {Lane.LIVE: self.pause_above_s, Lane.BULK: 60.0}
        engine = TimedEngine()
        pipeline = Pipeline(
            Shells(
                self.source,
                self.codecs,
                engine,
                engine,
                self.store,
                self.broadcast,
                LoopClock(),
            ),
            {lane: policy(lane, InterimPolicy(every_s=0.7, eager=True)) for lane in Lane},
            planner,
            {lane: Backpressure(mark, mark / 2) for lane, mark in marks.items()},
            fold_audit=FoldAudit(0.0),
            timeouts=Timeouts(
                coalesce_s=0.02, progress_s=5.0, retry_s=1.0, halt_s=30.0, drain_s=60.0
            ),
            metrics=self.metrics,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(pipeline.run(stop))
            while (now := LoopClock().monotonic()) < self.until_s:
                self.lags.append((now, self._lag_s()))
                self.held_s.append(_held_s(pipeline, planner))
                await asyncio.sleep(0.25)
            stop.set()

    def _lag_s(self) -> float:
        value = self.metrics.registry.get_sample_value
        labels = ({"topic": p.topic, "partition": str(p.number)} for p in self.logs)
        return max(value("streamscribe_lag_seconds", each) or 0.0 for each in labels)


def _held_s(pipeline: Pipeline, planner: Planner) -> float:
    """Return the seconds of audio of utterances that are open or wait."""
    open_s = sum(task.undecided_s for task in pipeline.tasks)
    return open_s + sum(planner.waiting_s(lane) for lane in Lane)
