"""A worker's queue simulated: utterances that end, an engine that takes time, a policy between.

No clock is read and nothing sleeps: an hour of load takes a second, and one seed gives one result.
"""

from __future__ import annotations

import random
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

import numpy as np

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.scheduling.capacity import CONTEXT, Budget, positions
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.streams.records import Lane, Partition, SessionKey, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from schemas.audio import StreamOptions

RATE = 1000  # Hz, of utterances that nobody hears
FINAL_WITHIN_S = 0.5
_NOTHING = np.empty(0, np.int16)
_OPTIONS = StreamOptions()
_LOOP = 224  # tokens of a text without end
_ROWS = (1, 1, 5)  # of a clip's attempts: folded, padded, and padded at five temperatures
_DOUBTFUL = Hypothesis("", "en", None, (), 0.0, 0.0, 0.0, ended=False)


class Policy(Protocol):
    """What the planner offers."""

    def __len__(self) -> int: ...

    def add(self, jobs: Sequence[Job]) -> None: ...

    def take(self, now: float) -> Batch | None: ...

    def retry(self, job: Job, tried: tuple[Hypothesis, ...], now: float) -> None: ...


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
        kept = len(seconds) * max(positions(each) for each in seconds)
        return self.of_texts(kept, [self.tokens(each) for each in seconds])

    def tokens(self, seconds: float) -> float:
        return self.extra_tokens + self.tokens_per_s * seconds

    def of_texts(self, kept: int, tokens: Sequence[float]) -> float:
        """Of so many encoder positions, and of a text a row."""
        return kept * self.position_s + max(tokens) * self.step_s + sum(tokens) * self.row_step_s


@dataclass(frozen=True, slots=True)
class Engine:
    """What takes time, and whose texts do not all stand: a share of utterances is all loops."""

    cost: Cost
    doubtful: float = 0.0  # share of utterances that take every attempt
    at_once: bool = False  # all attempts in one call; else one a call

    def doubts(self, job: Job) -> bool:
        """Whether another attempt is due after this one."""
        return not self.at_once and self.loops(job) and len(job.earlier) + 1 < len(_ROWS)

    def takes_s(self, jobs: Sequence[Job]) -> float:
        took = self._attempt(jobs, len(jobs[0].earlier))
        loops = [job for job in jobs if self.at_once and self.loops(job)]
        return took + sum(self._attempt(loops, number) for number in range(1, len(_ROWS)) if loops)

    def _attempt(self, jobs: Sequence[Job], number: int) -> float:
        lengths = [job.utterance.seconds for job in jobs]
        kept = CONTEXT if number else max(map(positions, lengths))
        tokens = [
            _LOOP if self.loops(job) else self.cost.tokens(job.utterance.seconds) for job in jobs
        ]
        return self.cost.of_texts(len(jobs) * kept, tokens * _ROWS[number])

    def loops(self, job: Job) -> bool:
        """Whether it takes every attempt."""
        name = f"{job.id.session.stream_id}/{job.id.utterance}".encode()
        return zlib.crc32(name) % 10_000 < self.doubtful * 10_000


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

    def retry(
        self,
        job: Job,
        tried: tuple[Hypothesis, ...],
        now: float,  # noqa: ARG002 - the planner's signature
    ) -> None:
        self._jobs.append(replace(job, earlier=tried))


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
            id=UtteranceId(session, number),
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
    loops: bool = False  # it took every attempt


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

    def wait_s(self, quantile: float, prefix: str = "", *, loops: bool | None = None) -> float:
        """Of all streams whose name begins so; of loops, of others alone, or of both."""
        wanted = {False, True} if loops is None else {loops}
        finals = [each for each in self.finals if each.stream.startswith(prefix)]
        return float(
            np.quantile([each.wait_s for each in finals if each.loops in wanted], quantile)
        )

    def last_late_s(self, late_s: float) -> float:
        """End of the last utterance that waited longer than `late_s`; 0: none did."""
        return max((each.closed_at for each in self.finals if each.wait_s > late_s), default=0.0)


def simulate(policy: Policy, jobs: Sequence[Job], engine: Engine, until_s: float) -> Outcome:
    """Run the engine whenever something waits; jobs are in order of their ends.

    Ends at `until_s`, however much still waits: its wait so far counts. A final is out when those
    of its stream before it are.
    """
    outcome, now, arrived = Outcome(), 0.0, 0
    out_at: dict[UtteranceId, float] = {}
    while now < until_s and (arrived < len(jobs) or len(policy)):
        now = now if len(policy) else max(now, jobs[arrived].closed_at)
        ended = bisect_right(jobs, now, lo=arrived, key=lambda job: job.closed_at)
        policy.add(jobs[arrived:ended])
        arrived = ended
        if batch := policy.take(now):
            now += _decode(batch, engine, outcome)
            for job in batch.jobs:
                if engine.doubts(job):
                    policy.retry(job, (*job.earlier, _DOUBTFUL), now)
                else:
                    out_at[job.id] = now
    outcome.finals.extend(_finals(jobs, out_at, engine, until_s))
    return outcome


def _decode(batch: Batch, engine: Engine, outcome: Outcome) -> float:
    took = engine.takes_s(batch.jobs)
    outcome.busy_s += took
    outcome.audio_s += sum(job.utterance.seconds for job in batch.jobs)
    outcome.batches += 1
    outcome.rows += len(batch.jobs)
    return took


def _finals(
    jobs: Sequence[Job], out_at: dict[UtteranceId, float], engine: Engine, until_s: float
) -> Iterator[Final]:
    """In order within a stream: no final leaves before the one before it."""
    before: dict[SessionKey, float] = {}
    for job in jobs:
        session = job.id.session
        out = max(out_at.get(job.id, until_s), before.get(session, 0.0))
        before[session] = out
        wait_s = max(0.0, out - job.closed_at)
        yield Final(session.stream_id, job.closed_at, wait_s, engine.loops(job))
