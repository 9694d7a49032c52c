"""Test doubles for the pipeline's shells: ours, and for whoever builds on the pipeline.

A scripted source and a recording sink stand for Kafka, an engine that hears loudness and writes
lengths stands for the detector and Whisper, and time moves only when a test says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from consumer.core.pcm import Framer
from consumer.core.progress import Commit
from consumer.core.values import (
    Batch,
    Float32Array,
    Hypothesis,
    Int16Array,
    Job,
    Lane,
    Listen,
    Partition,
    Poll,
)
from consumer.errors import Retriable
from schemas.transcript import AnyEvent


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
    """Gives one poll after the other, or raises it, then sets `stop`."""

    def __init__(self, polls: Iterable[Poll | Exception], stop: asyncio.Event) -> None:
        self._polls = iter(polls)
        self._stop = stop
        self.asked_for: list[frozenset[Lane]] = []

    async def poll(self, lanes: frozenset[Lane]) -> Poll:
        await asyncio.sleep(0)
        self.asked_for.append(lanes)
        poll = next(self._polls, None)
        if poll is None:
            self._stop.set()
        if isinstance(poll, Exception):
            raise poll
        return poll or Poll()


class RecordingSink:
    """Keeps what was committed; `failures` commits fail first, `fenced` partitions never stand."""

    def __init__(self, failures: int = 0, fenced: Collection[Partition] = ()) -> None:
        self.commits: list[Commit] = []
        self.failures = failures
        self.fenced = fenced

    @property
    def events(self) -> list[AnyEvent]:
        return [event for commit in self.commits for event in commit.events]

    async def commit(self, commits: Sequence[Commit]) -> list[Commit]:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Retriable("the sink was told to fail")
        stand = [commit for commit in commits if commit.partition not in self.fenced]
        self.commits.extend(stand)
        return stand


class EchoEngine:
    """Windows with sound are speech; an utterance's text is the samples that it holds.

    Detectors keep nothing but the audio of an unfinished window, so scores depend on the audio
    alone.
    """

    def __init__(self, window_ms: int = 32) -> None:
        self._window_ms = window_ms
        self.batches: list[list[Job]] = []

    async def score(self, requests: Sequence[Listen]) -> list[Float32Array]:
        await asyncio.sleep(0)
        return [self.score_one(request) for request in requests]

    async def transcribe(self, batch: Batch) -> list[Hypothesis]:
        await asyncio.sleep(0)
        self.batches.append(list(batch.jobs))
        return [echo(job.utterance.samples) for job in batch.jobs]

    def score_one(self, request: Listen) -> Float32Array:
        """Without the waiting."""
        if request.ear.detector is None:
            request.ear.detector = Framer(self._window_ms, request.rate)
        framer = request.ear.detector
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
