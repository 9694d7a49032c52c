"""The requests of a worker that the engine process has not answered.

    add ─► unsent ─ sent ─► sent ─ on_started ─► started ─ on_answer | on_dropped ─► forgotten
             ▲                └──────────┬──────────┘
             └───────── on_lost ─────────┘

Decisions and bookkeeping only: `client.py` has the connection. Utterances whose decode had begun
when an engine was lost may have ended it. They are decoded alone and without interims, and given up
after MAX_LOSSES engines.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from consumer.core.partition.step import Decode
from consumer.core.scheduling.jobs import Job, JobFailure, JobKind
from consumer.core.streams.records import Lane, UtteranceId
from consumer.core.text.hypothesis import TimedHypothesis
from consumer.engine.shared_audio import AudioBlock, WrittenAudio
from consumer.interfaces import EngineReport

MAX_LOSSES: Final = 3  # engines that one utterance may end
MAX_SUSPECTS: Final = 1024  # utterances whose losses are counted; the oldest is forgotten
LOST: Final = JobFailure("EngineLost")  # the reply to a request that is given up


@dataclass(slots=True, eq=False)
class Request:
    """A job without an answer."""

    number: int
    job: Job
    block: AudioBlock | None = None  # its samples in the shared memory; None: not sent
    is_started: bool = False
    is_cancelled: bool = False  # the answer is ignored

    @property
    def waits(self) -> bool:
        return not (self.is_started or self.is_cancelled)


class RequestTable:
    """The unanswered requests, and what has to be reported of them."""

    def __init__(self, audio: WrittenAudio) -> None:
        self._audio = audio
        self._requests: dict[int, Request] = {}  # in the order of their submission
        self._unsent: deque[Request] = deque()
        self._losses: dict[UtteranceId, int] = {}  # engines that were lost while they decoded it
        self._numbers = 0
        self._started: list[Job] = []  # not reported yet, as the two below
        self._decodes: list[Decode] = []
        self._dropped: list[Job] = []

    def __len__(self) -> int:
        return len(self._requests)

    def waiting(self, lane: Lane | None = None) -> Iterator[Job]:
        """Yield the jobs whose decode has not begun, of one lane or of all."""
        for request in self._requests.values():
            if request.waits and lane in {None, request.job.lane}:
                yield request.job

    def report(self) -> EngineReport | None:
        """Return what has happened since the last report, or None."""
        if not (self._started or self._decodes or self._dropped):
            return None
        report = EngineReport(self._started, self._decodes, self._dropped)
        self._started, self._decodes, self._dropped = [], [], []
        return report

    # --- from the worker

    def add(self, job: Job) -> None:
        """Add a job; an interim of an utterance that may end engines is dropped."""
        if job.kind is JobKind.INTERIM and job.id in self._losses:
            self._dropped.append(job)
            return
        self._numbers += 1
        request = self._requests[self._numbers] = Request(self._numbers, job)
        self._unsent.append(request)

    def cancel(self, is_cancelled: Callable[[Job], bool]) -> tuple[int, ...]:
        """Cancel waiting jobs; return the numbers of those that the engine has to drop."""
        cancelled = [each for each in self._requests.values() if each.waits]
        cancelled = [request for request in cancelled if is_cancelled(request.job)]
        for request in cancelled:
            request.is_cancelled = True
            if request.block is None:
                self._unsent.remove(request)
                self._forget(request.number)
        return tuple(request.number for request in cancelled if request.block is not None)

    def next_unsent(self) -> tuple[int, Job, AudioBlock] | None:
        """Return the next job to submit, its samples written; None: none, or no room for them."""
        if not self._unsent:
            return None
        request = self._unsent[0]
        request.block = self._audio.write(request.job.utterance.samples)
        if request.block is None:
            return None
        self._unsent.popleft()
        is_suspect = request.job.id in self._losses
        job = replace(request.job, isolated=True) if is_suspect else request.job
        return request.number, job, request.block

    # --- from the engine

    def on_started(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            request = self._requests.get(number)
            if request is not None:
                request.is_started = True
                if not request.is_cancelled:
                    self._started.append(request.job)

    def on_answer(self, number: int, text: TimedHypothesis | JobFailure) -> None:
        request = self._forget(number)
        if request is None:
            return
        self._losses.pop(request.job.id, None)
        if not request.is_cancelled:
            self._decodes.append(Decode(request.job, text))

    def on_dropped(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            request = self._forget(number)
            if request is not None and not request.is_cancelled:
                self._dropped.append(request.job)

    def on_lost(self) -> list[Job]:
        """Make all requests unsent again; return the jobs that are given up."""
        given_up = [job for each in list(self._requests.values()) if (job := self._reset(each))]
        self._unsent = deque(self._requests.values())
        return given_up

    def _reset(self, request: Request) -> Job | None:
        """Forget what the lost engine had of the request; return its job if it is given up."""
        losses = self._count_loss(request)
        if request.is_cancelled:
            self._forget(request.number)
        elif losses and request.job.kind is JobKind.INTERIM:
            self.on_dropped((request.number,))
        elif losses >= MAX_LOSSES:
            self.on_answer(request.number, LOST)
            return request.job
        elif request.block is not None:
            self._audio.free(request.block)
            request.block = None
        return None

    def _count_loss(self, request: Request) -> int:
        """Return how many engines were lost while they decoded the utterance."""
        id_ = request.job.id
        if request.is_started:
            request.is_started = False
            self._losses[id_] = self._losses.pop(id_, 0) + 1
            if len(self._losses) > MAX_SUSPECTS:
                del self._losses[next(iter(self._losses))]
        return self._losses.get(id_, 0)

    def _forget(self, number: int) -> Request | None:
        request = self._requests.pop(number, None)
        if request is not None and request.block is not None:
            self._audio.free(request.block)
        return request
