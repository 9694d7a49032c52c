"""Which utterances the model takes next.

Batch when free: whenever the engine is idle it takes the best batch; there is no fixed wait. Order:
live before bulk, finals before partials, then the earliest due. A batch is of one such class, so
that no final waits for the rows of a partial or of a file.

    due     a job's deadline; behind others of its stream, theirs + its own length, if later
    again   where a final's text does not stand: due a second after that came out
    batch   the first in that order, and of those behind it what gives most work for the time

Why: docs/decisions/0002-which-utterances-go-first.md.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from consumer.core.scheduling.capacity import CONTEXT, Budget, positions
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.streams.records import Lane, Partition, SessionKey, UtteranceId

RETRY_DELAY_S = 1.0  # finals that are due within it go before another attempt at a text


_LOOK_AHEAD = 4  # times the rows of a batch: so many waiting jobs are looked at


_STEP = 32  # positions: lengths within it are tried as one


class _Waiting(NamedTuple):
    """A job in its place; compared from the left, and no further than `number`."""

    lane: Lane
    kind: JobKind
    due: float  # monotonic seconds
    number: int  # of its arrival
    positions: int
    job: Job


@dataclass(slots=True)
class _Backlog:
    """Finals of one session that wait."""

    due: float  # of the last one
    count: int = 0


class Planner:
    """Jobs that wait; bounded by admission, which stops fetching above its mark."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._waiting: list[_Waiting] = []  # in order
        self._backlogs: dict[SessionKey, _Backlog] = {}
        self._interims: dict[SessionKey, _Waiting] = {}
        self._waiting_ms = dict.fromkeys(Lane, 0)
        self._arrivals = 0
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_s(self, lane: Lane) -> float:
        """Seconds of speech that wait."""
        return self._waiting_ms[lane] / 1000

    def dropped_interims(self) -> int:
        """Those since the last call; a newer one, their final or their deadline came first."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def add(self, jobs: Iterable[Job]) -> None:
        """A session's newest partial takes the place of its older one; its final ends both."""
        for job in jobs:
            self._drop_interim(job)
            due = self._due(job)
            length = CONTEXT if job.earlier else positions(job.utterance.seconds)
            waiting = _Waiting(job.lane, job.kind, due, self._arrivals, length, job)
            self._arrivals += 1
            insort(self._waiting, waiting)
            self._waiting_ms[job.lane] += _milliseconds(job)
            if job.kind is JobKind.INTERIM:
                self._interims[job.id.session] = waiting

    def take(self, now: float) -> Batch | None:
        """The first job, and those beside it that are worth it; None: nothing waits.

        Partials whose deadline has passed are dropped.
        """
        self._drop_stale(now)
        if not self._waiting:
            return None
        chosen = _best(self._candidates(), self._budget)
        for waiting in chosen:
            self._remove(waiting)
        return Batch(tuple(waiting.job for waiting in chosen))

    def cancel(self, id_: UtteranceId) -> None:
        """Drop the finals of that utterance that wait: its text is known."""
        for waiting in [each for each in self._waiting if each.job.id == id_]:
            if waiting.kind is JobKind.FINAL:
                self._remove(waiting)

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        """Forget jobs of partitions that are gone or were assigned anew."""
        for waiting in list(self._waiting):
            job = waiting.job
            if epochs.get(job.id.session.partition) != job.epoch:
                self._remove(waiting)

    def _due(self, job: Job) -> float:
        """Utterances of a stream in real time lie apart by their length at least: so do these.

        One that may end the worker goes first: the shorter it is in hand, the less is it to blame
        for another end.
        """
        if job.isolated and job.is_repeat:
            return -inf
        if job.kind is JobKind.INTERIM or job.is_repeat:
            return job.deadline
        session = job.id.session
        backlog = self._backlogs.get(session)
        if backlog is None:
            backlog = self._backlogs[session] = _Backlog(job.deadline)
        else:
            backlog.due = max(job.deadline, backlog.due + job.utterance.seconds)
        backlog.count += 1
        return -inf if job.isolated else backlog.due

    def _candidates(self) -> Sequence[_Waiting]:
        """The first job, and others of its class."""
        class_ = _class(self._waiting[0])
        ahead = self._waiting[: _LOOK_AHEAD * self._budget.rows]
        return [each for each in ahead if _class(each) == class_]

    def _drop_interim(self, newer: Job) -> None:
        older = self._interims.get(newer.id.session)
        if older is not None and older.job.id.utterance <= newer.id.utterance:
            self._remove(older)
            self._dropped += 1

    def _drop_stale(self, now: float) -> None:
        for stale in [each for each in self._interims.values() if each.due < now]:
            self._remove(stale)
            self._dropped += 1

    def _remove(self, waiting: _Waiting) -> None:
        del self._waiting[bisect_left(self._waiting, waiting)]
        self._waiting_ms[waiting.lane] -= _milliseconds(waiting.job)
        session = waiting.job.id.session
        if waiting.kind is JobKind.INTERIM:
            del self._interims[session]
        elif not waiting.job.is_repeat:
            self._shrink_backlog(session)

    def _shrink_backlog(self, session: SessionKey) -> None:
        self._backlogs[session].count -= 1
        if not self._backlogs[session].count:
            del self._backlogs[session]


def _best(candidates: Sequence[_Waiting], budget: Budget) -> list[_Waiting]:
    """The batch with the first candidate in it that does most work in its time.

    Each length that its longest row may have is tried.
    """
    first = candidates[0].positions
    lengths = {_rounded(each.positions) for each in candidates if each.positions >= first}
    batches = [_filled(candidates, longest, budget) for longest in lengths | {_rounded(first)}]
    return max(batches, key=lambda batch: _worth(batch, budget))


def _filled(candidates: Sequence[_Waiting], longest: int, budget: Budget) -> list[_Waiting]:
    """Rows of up to `longest` positions, in order, each worth its padding.

    A job stays behind one of its own stream: its text could not be published before.
    """
    chosen = [candidates[0]]
    work = candidates[0].positions
    passed: set[SessionKey] = set()
    rows = min(budget.rows, budget.positions // longest)
    for each in candidates[1:]:
        if len(chosen) >= rows or chosen[0].job.isolated:
            break
        cost = budget.overhead + len(chosen) * longest
        session = each.job.id.session
        if (
            each.job.isolated
            or each.positions > longest
            or each.positions * cost < work * longest
            or session in passed
        ):
            passed.add(session)
            continue
        chosen.append(each)
        work += each.positions
    return chosen


def _worth(batch: Sequence[_Waiting], budget: Budget) -> tuple[float, int]:
    """Positions of speech by positions of time."""
    work = sum(each.positions for each in batch)
    longest = max(each.positions for each in batch)
    return work / (budget.overhead + len(batch) * longest), len(batch)


def _class(waiting: _Waiting) -> tuple[Lane, JobKind, int]:
    """What goes into one batch; attempts of one kind, as others would be decoded one by one."""
    return waiting.lane, waiting.kind, len(waiting.job.earlier)


def _rounded(length: int) -> int:
    return -(-length // _STEP) * _STEP


def _milliseconds(job: Job) -> int:
    return round(job.utterance.seconds * 1000)
