"""A worker's queue simulated: utterances that end, an engine that takes time, a policy between.

No clock is read and nothing sleeps: an hour of load takes a second, and one seed gives one result.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import numpy as np

from consumer.core.budget import Budget, positions
from consumer.core.values import (
    Batch,
    EndReason,
    Job,
    JobId,
    JobKind,
    Lane,
    Partition,
    SessionKey,
    Speech,
    Utterance,
)
from schemas.audio import StreamOptions

RATE = 1000  # Hz, of utterances that nobody hears
FINAL_WITHIN_S = 0.5
_NOTHING = np.empty(0, np.int16)
_OPTIONS = StreamOptions()


class Policy(Protocol):
    """What the planner offers."""

    def __len__(self) -> int: ...

    def add(self, jobs: Sequence[Job]) -> None: ...

    def take(self, now: float) -> Batch | None: ...


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a batch: its encoder positions, and its steps, which rows share."""

    position_s: float
    step_s: float  # of a step, however many rows it has
    row_step_s: float  # of each row of a step
    tokens_per_s: float = 5.5  # of speech
    extra_tokens: float = 2  # a clip's end, and punctuation

    def of(self, seconds: Sequence[float]) -> float:
        """Of a batch of utterances so long."""
        tokens = [self.extra_tokens + self.tokens_per_s * each for each in seconds]
        encoder = len(seconds) * max(positions(each) for each in seconds) * self.position_s
        return encoder + max(tokens) * self.step_s + sum(tokens) * self.row_step_s


class FirstCome:
    """In order of arrival, as many as fit in a batch; with one row, one at a time."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, jobs: Sequence[Job]) -> None:
        self._jobs.extend(jobs)

    def take(self, now: float) -> Batch | None:  # noqa: ARG002 - the planner's signature
        rows = longest = 0
        for job in self._jobs:
            longest = max(longest, positions(job.utterance.seconds))
            fits = (rows + 1) * longest <= self._budget.positions and rows < self._budget.rows
            if rows and not fits:
                break
            rows += 1
        taken, self._jobs = self._jobs[:rows], self._jobs[rows:]
        return Batch(tuple(taken)) if taken else None


@dataclass(frozen=True, slots=True)
class Talk:
    """One stream's way of speaking: utterances drawn from recorded lengths."""

    lengths: Sequence[float]  # s
    share: float = 0.45  # of time that is speech

    def closed(self, rng: random.Random, until_s: float) -> Iterator[tuple[float, float]]:
        """When utterances end, and how long they are."""
        pause = sum(self.lengths) / len(self.lengths) * (1 / self.share - 1)
        now = rng.uniform(-2 * pause, 0)  # streams do not start together
        while True:
            length = rng.choice(self.lengths)
            now += rng.expovariate(1 / pause) + length
            if now >= until_s:
                return
            if now >= 0:
                yield now, length


def stream(
    name: str, closed: Iterator[tuple[float, float]], lane: Lane = Lane.LIVE
) -> Iterator[Job]:
    """The jobs of one stream."""
    session = SessionKey(Partition("speech", lane), name, f"{lane}-0")
    for number, (at, seconds) in zip(count(), closed, strict=False):
        yield Job(
            id=JobId(session, number),
            epoch=1,
            kind=JobKind.FINAL,
            lane=lane,
            closed_at=at,
            deadline=at + FINAL_WITHIN_S,
            utterance=_utterance(number, seconds),
            options=_OPTIONS,
        )


def _utterance(number: int, seconds: float) -> Utterance:
    end, speech = round(seconds * RATE), Speech(1.0, 1.0, 1.0)
    return Utterance(number, 0, end, end, RATE, _NOTHING, EndReason.SILENCE, speech)


@dataclass(frozen=True, slots=True)
class Final:
    """One utterance's fate."""

    stream: str
    closed_at: float  # s
    wait_s: float  # from then until its final could be published


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    finals: list[Final] = field(default_factory=list)
    busy_s: float = 0.0
    audio_s: float = 0.0
    batches: int = 0
    rows: int = 0

    @property
    def rtfx(self) -> float:
        """Audio by the time that the engine was busy."""
        return self.audio_s / self.busy_s

    def wait_s(self, quantile: float, prefix: str = "") -> float:
        """Of all streams whose name begins so."""
        waits = [each.wait_s for each in self.finals if each.stream.startswith(prefix)]
        return float(np.quantile(waits, quantile))

    def last_late_s(self, late_s: float) -> float:
        """End of the last utterance that waited longer than `late_s`; 0: none did."""
        return max((each.closed_at for each in self.finals if each.wait_s > late_s), default=0.0)


def simulate(policy: Policy, jobs: Sequence[Job], cost: Cost, until_s: float) -> Outcome:
    """Run the engine whenever something waits; jobs are in order of their ends.

    Ends at `until_s`, however much still waits: its wait so far counts. A final is out when those
    of its stream before it are.
    """
    outcome, now, arrived = Outcome(), 0.0, 0
    out_at: dict[JobId, float] = {}
    while now < until_s and (arrived < len(jobs) or len(policy)):
        now = now if len(policy) else max(now, jobs[arrived].closed_at)
        ended = bisect_right(jobs, now, lo=arrived, key=lambda job: job.closed_at)
        policy.add(jobs[arrived:ended])
        arrived = ended
        if batch := policy.take(now):
            now += _decode(batch, cost, outcome)
            out_at.update((job.id, now) for job in batch.jobs)
    outcome.finals.extend(_finals(jobs, out_at, until_s))
    return outcome


def _decode(batch: Batch, cost: Cost, outcome: Outcome) -> float:
    seconds = [job.utterance.seconds for job in batch.jobs]
    took = cost.of(seconds)
    outcome.busy_s += took
    outcome.audio_s += sum(seconds)
    outcome.batches += 1
    outcome.rows += len(seconds)
    return took


def _finals(jobs: Sequence[Job], out_at: dict[JobId, float], until_s: float) -> Iterator[Final]:
    """In order within a stream: no final leaves before the one before it."""
    before: dict[SessionKey, float] = {}
    for job in jobs:
        session = job.id.session
        out = max(out_at.get(job.id, until_s), before.get(session, 0.0))
        before[session] = out
        yield Final(session.stream_id, job.closed_at, max(0.0, out - job.closed_at))
