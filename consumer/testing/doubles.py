"""Test doubles of the pipeline's Protocols, for this project and for projects that build on it.

A scripted source and a store in memory replace Kafka. The echo engine replaces the detector and
Whisper: nonzero samples are speech, and the text of an utterance is its length. Time advances only
when a test advances it.
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
from consumer.core.partition.state import Found, GroupOffset, PartitionState
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
    """A clock that only `advance` and `sleep` advance."""

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
    """A source that returns or raises the given polls in order, and then sets `stop`.

    The records of a poll are appended to a log. The poll returns the records of the log from the
    fetch position of each partition on, and waits until its partitions have a fetch position.
    """

    def __init__(self, polls: Iterable[Poll | Exception], stop: asyncio.Event) -> None:
        self._polls = iter(polls)
        self._stop = stop
        self._has_sought = asyncio.Event()
        self._log: list[Record | UnreadableBatch] = []
        self.asked_for: list[frozenset[Lane]] = []
        self.positions: dict[Partition, int] = {}  # fetch positions
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
            self._has_sought.clear()
            await self._has_sought.wait()
        return replace(poll, records=tuple(self._read()))

    def seek(self, partition: Partition, offset: int) -> None:
        self.positions[partition] = offset
        self._has_sought.set()

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
    """Codecs that decode every record in the calling process, containers too."""

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
    """A store in memory, with the content of the state topic and the output topics.

    `failures`: errors of the next commits, None for one that succeeds. `lost_answers`: number of
    commits that are made and raise `Retriable` nevertheless.
    """

    def __init__(
        self, failures: Iterable[Exception | None] = (), *, log_start: int = 0, log_end: int = 10**9
    ) -> None:
        self.commits: list[Commit] = []
        self.opened = 0
        self.log_start, self.log_end = log_start, log_end
        self.group_offset: GroupOffset | None = None
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
        journal = self._owners[partition] = self.make_journal(partition)
        return journal

    def make_journal(self, partition: Partition) -> MemoryJournal:
        return MemoryJournal(self, self.found(partition))

    def found(self, partition: Partition) -> Found:
        """Return the state from which the next owner resumes."""
        return Found(
            partition=self._states.get(partition),
            streams=dict(self._streams.get(partition, {})),
            group_offset=self.group_offset,
            log_start=self.log_start,
            log_end=self.log_end,
        )

    def write(self, commit: Commit) -> None:
        """Keep the output and the state of a commit."""
        self.commits.append(commit)
        self._states[commit.partition] = commit.state
        streams = self._streams.setdefault(commit.partition, {})
        for name, state in commit.streams:
            if state is None:
                streams.pop(name, None)
            else:
                streams[name] = state

    def accept(self, journal: MemoryJournal, commit: Commit) -> None:
        """Make a commit of the journal. Raises `Fenced`, `Retriable`, or the scripted failure."""
        if self._owners.get(commit.partition) is not journal:
            raise Fenced("the partition was opened again")
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
    """Keeps published events; the next `failures` calls raise `Retriable` instead."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[AnyEvent] = []
        self.failures = failures

    async def publish(self, events: Sequence[AnyEvent]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Retriable("a scripted failure")
        self.events.extend(events)


class EchoEngine:
    """Detector and engine: a window with a nonzero sample is speech, a text states its length.

    The detector keeps only the audio of an incomplete window, so that scores depend on the audio
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
        """Return the speech probability of every window that the request completes."""
        if request.vad.detector is None:
            request.vad.detector = Framer(self._window_ms, request.rate)
        framer = request.vad.detector
        assert isinstance(framer, Framer)
        return np.array([window.any() for window in framer.push(request.samples)], np.float32)


def echo(samples: Int16Array) -> Hypothesis:
    """Return a hypothesis whose text is the number of samples."""
    return Hypothesis(
        text=f"{len(samples)} samples",
        language="en",
        language_probability=None,
        tokens=(),
        avg_logprob=-0.1,
        no_speech_prob=0.0,
        compression_ratio=1.0,
    )
