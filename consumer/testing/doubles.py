"""Test doubles for the pipeline's shells: ours, and for whoever builds on the pipeline.

A scripted source and a store in memory stand for Kafka, an engine that hears loudness and writes
lengths stands for the detector and Whisper, and time moves only when a test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from consumer.codecs.reader import AudioRules, read_record
from consumer.core.audio.utterance import Float32Array, Int16Array
from consumer.core.audio.windows import Framer
from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found, PartitionState
from consumer.core.partition.step import DecodedRecord, RejectedRecord
from consumer.core.scheduling.jobs import Batch, Job
from consumer.core.streams.entries import DeadLetter, ScoreRequest
from consumer.core.streams.records import Lane, Partition, Poll, Record, UnreadableBatch
from consumer.core.streams.state import StreamState
from consumer.core.text.hypothesis import Hypothesis
from consumer.errors import Fenced, Retriable
from schemas.audio import AudioDefaults
from schemas.errors import WireError
from schemas.transcript import AnyEvent

_PCM: Final = AudioRules(AudioDefaults())


class ManualClock:
    """Time stands still but for `advance`, and for sleepers, who take it with them."""

    def __init__(self, unix_ms: int = 1_700_000_000_000) -> None:
        self._now_s = 0.0
        self._unix_ms = unix_ms

    def monotonic(self) -> float:
        return self._now_s

    def unix_ms(self) -> int:
        return self._unix_ms + round(self._now_s * 1000)

    def advance(self, seconds: float) -> None:
        self._now_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


class ScriptedSource:
    """Does what one poll after the other says, or raises it, then sets `stop`.

    The records of a poll are appended to the log; what a poll gives is all of the log that lies
    behind where each partition is read from. One whose partition is not read yet waits for that.
    """

    def __init__(self, polls: Iterable[Poll | Exception], stop: asyncio.Event) -> None:
        self._polls = iter(polls)
        self._stop = stop
        self._began = asyncio.Event()
        self._log: list[Record | UnreadableBatch] = []
        self.asked_for: list[frozenset[Lane]] = []
        self.positions: dict[Partition, int] = {}  # of what is read
        self.committed_offsets: list[Mapping[Partition, int]] = []

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        await asyncio.sleep(0)
        self.asked_for.append(lanes)
        poll = next(self._polls, None)
        if isinstance(poll, Exception):
            raise poll
        if poll is None:
            self._stop.set()
            return Poll()
        self._log.extend(poll.records)
        while not {record.partition for record in poll.records} <= self.positions.keys():
            self._began.clear()
            await self._began.wait()
        return replace(poll, records=tuple(self._read()))

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset
        self._began.set()

    def pause(self, partition: Partition) -> None:
        self.positions.pop(partition, None)

    async def commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        self.committed_offsets.append(offsets)

    def _read(self) -> list[Record | UnreadableBatch]:
        never = float("inf")
        positions = self.positions
        records = [r for r in self._log if r.offset >= positions.get(r.partition, never)]
        for record in records:
            positions[record.partition] = record.next_offset
        return records


class InlineCodecs:
    """Decodes every record at once, containers too, without processes of their own."""

    def __init__(self, rules: AudioRules = _PCM) -> None:
        self._rules = rules

    def read(self, record: Record) -> DecodedRecord | RejectedRecord:
        try:
            return read_record(record, self._rules)
        except WireError as error:
            return RejectedRecord(record, error.reason, str(error))

    async def decode(self, record: Record) -> DecodedRecord | RejectedRecord:
        await asyncio.sleep(0)
        return self.read(record)


class MemoryStore:
    """Keeps what was committed, as the state topic and the output topics would.

    `failures`: what the next commits raise, None for one that stands; `lost_answers`: so many
    commits stand, and their answer is lost.
    """

    def __init__(
        self, failures: Iterable[Exception | None] = (), *, log_start: int = 0, log_end: int = 10**9
    ) -> None:
        self.commits: list[Commit] = []
        self.opened = 0
        self.log_start, self.log_end = log_start, log_end
        self.group_offset: int | None = None
        self.lost_answers = 0
        self._failures = iter(failures)
        self._owners: dict[Partition, MemoryJournal] = {}
        self._states: dict[Partition, PartitionState] = {}
        self._streams: dict[Partition, dict[str, StreamState]] = {}

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [letter for commit in self.commits for letter in commit.dead_letters]

    async def open(self, partition: Partition) -> MemoryJournal:
        await asyncio.sleep(0)
        self.opened += 1
        journal = self._owners[partition] = MemoryJournal(self, self.found(partition))
        return journal

    def found(self, partition: Partition) -> Found:
        """What whoever opens it now goes on from."""
        return Found(
            partition=self._states.get(partition),
            streams=dict(self._streams.get(partition, {})),
            group_offset=self.group_offset,
            log_start=self.log_start,
            log_end=self.log_end,
        )

    def write(self, commit: Commit) -> None:
        """Output and progress, together."""
        self.commits.append(commit)
        self._states[commit.partition] = commit.state
        streams = self._streams.setdefault(commit.partition, {})
        for name, state in commit.streams:
            if state is None:
                streams.pop(name, None)
            else:
                streams[name] = state

    def accept(self, journal: MemoryJournal, commit: Commit) -> None:
        """Raises `Fenced`, or what a failure was scripted to be."""
        if self._owners.get(commit.partition) is not journal:
            raise Fenced("it was opened again")
        if (failure := next(self._failures, None)) is not None:
            raise failure
        self.write(commit)
        if self.lost_answers:
            self.lost_answers -= 1
            raise Retriable("the answer was lost")


class MemoryJournal:
    """One opening of a partition; the next one fences it."""

    def __init__(self, store: MemoryStore, found: Found) -> None:
        self.found = found
        self._store = store

    async def commit(self, commit: Commit) -> None:
        await asyncio.sleep(0)
        self._store.accept(self, commit)

    async def close(self) -> None:
        await asyncio.sleep(0)


class MemoryBroadcast:
    """Keeps what was told; `failures` of the next calls fail."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[AnyEvent] = []
        self.failures = failures

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Retriable("the broadcast was told to fail")
        self.events.extend(events)


class EchoEngine:
    """Windows with sound are speech; an utterance's text is the samples that it holds.

    Detectors keep nothing but the audio of an unfinished window, so scores depend on the audio
    alone.
    """

    def __init__(self, window_ms: int = 32) -> None:
        self._window_ms = window_ms
        self.batches: list[list[Job]] = []

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        await asyncio.sleep(0)
        return [self.score_one(request) for request in requests]

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        await asyncio.sleep(0)
        self.batches.append(list(batch.jobs))
        return [echo(job.utterance.samples) for job in batch.jobs]

    def score_one(self, request: ScoreRequest) -> Float32Array:
        """Without the waiting."""
        if request.vad.detector is None:
            request.vad.detector = Framer(self._window_ms, request.rate)
        framer = request.vad.detector
        assert isinstance(framer, Framer)
        return np.array([window.any() for window in framer.push(request.samples)], np.float32)


def echo(samples: Int16Array) -> Hypothesis:
    """A hypothesis that tells what was heard."""
    return Hypothesis(
        text=f"{len(samples)} samples",
        language="en",
        language_probability=None,
        tokens=(),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )
