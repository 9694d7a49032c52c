"""The planner: which jobs the model decodes next.

Whenever the engine is idle it takes the best batch; there is no fixed wait. Jobs are ordered by
lane (live before bulk), kind (finals before interims), then due time. A batch has jobs of one class
only, so that no final waits for the rows of an interim or of a file.

    room     interims are taken, and finals attempted again, while the engine has room for them
    due      the deadline; within the backlog of a stream, that of the job before + own length, if
             later
    repeat   a job whose text was not accepted: due RETRY_DELAY_S after that text
    batch    the first job in order, and those after it that give most work for the time

Reasons: docs/decisions/0002-which-utterances-go-first.md.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from consumer.core.scheduling.capacity import CONTEXT, Budget, positions
from consumer.core.scheduling.engine_load import EngineLoad
from consumer.core.scheduling.jobs import Batch, Job, JobKind
from consumer.core.scheduling.thread_choice import ThreadChoice
from consumer.core.streams.records import Lane, Partition, SessionKey, UtteranceId

RETRY_DELAY_S = 1.0  # finals due within it are decoded before another attempt at a text
_LOOK_AHEAD = 4  # times the rows of a batch: number of waiting jobs that are examined
_STEP = 32  # positions: granularity of the batch lengths that are tried


class _Waiting(NamedTuple):
    """A job in the queue; compared by its fields up to `number`, which is unique."""

    lane: Lane
    kind: JobKind
    due: float  # monotonic seconds
    number: int  # counts arrivals
    positions: int
    job: Job


@dataclass(slots=True)
class _Backlog:
    """The waiting finals of one session."""

    due: float  # of the last one, monotonic seconds
    count: int = 0


class Planner:
    """The jobs that wait. Back-pressure bounds their number."""

    def __init__(
        self,
        budget: Budget,
        load: EngineLoad | None = None,
        threads: ThreadChoice | None = None,
    ) -> None:
        self._budget = budget
        self._load = load or EngineLoad()
        self._threads = threads
        self._waiting: list[_Waiting] = []  # in order
        self._backlogs: dict[SessionKey, _Backlog] = {}
        self._interims: dict[SessionKey, _Waiting] = {}
        self._waiting_ms = dict.fromkeys(Lane, 0)
        self._arrivals = 0
        self._dropped: list[Job] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def waiting_s(self, lane: Lane) -> float:
        """Return the seconds of speech that wait."""
        return self._waiting_ms[lane] / 1000

    def dropped_interims(self) -> list[Job]:
        """Return those dropped since the last call: superseded, or past their deadline."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def add(self, jobs: Iterable[Job]) -> None:
        """Add jobs. An interim or a final replaces the waiting interim of the same session."""
        for job in jobs:
            self._drop_interim(job)
            due = self._due(job)
            length = self._length(job)
            waiting = _Waiting(job.lane, job.kind, due, self._arrivals, length, job)
            self._arrivals += 1
            insort(self._waiting, waiting)
            self._waiting_ms[job.lane] += _milliseconds(job)
            if job.kind is JobKind.INTERIM:
                self._interims[job.id.session] = waiting

    def take(self, now: float) -> Batch | None:
        """Return the next batch, or None if no job waits that the engine has room for.

        Drops interims past their deadline.
        """
        self._drop_stale(now)
        first = next((n for n, each in enumerate(self._waiting) if self._may_take(each, now)), None)
        if first is None:
            return None
        chosen = _best(self._candidates(first), self._budget)
        for waiting in chosen:
            self._remove(waiting)
        has_final = chosen[0].kind is JobKind.FINAL
        threads = self._threads.choose(now, has_final=has_final) if self._threads else 0
        return Batch(tuple(waiting.job for waiting in chosen), threads=threads)

    def decoded(self, batch: Batch, seconds: float, now: float) -> None:
        """Note how long the engine took for a batch."""
        longest = max(self._length(job, padded=batch.padded) for job in batch.jobs)
        cost = self._budget.overhead + len(batch.jobs) * longest
        attempts = len(batch.jobs[0].earlier)
        if self._threads and not attempts:
            self._threads.observe(batch.threads, cost, seconds, now)
        if batch.jobs[0].lane is Lane.LIVE:
            self._load.observe(cost, attempts, seconds, now)

    def may_repeat(self, job: Job, attempts: int, now: float) -> bool:
        """Return whether there is room for another attempt, after `attempts` texts of the job.

        Files can wait, so there always is for theirs.
        """
        return job.lane is Lane.BULK or self._has_room(CONTEXT, attempts, now)

    def may_audit(self, now: float) -> bool:
        """Return whether there is room for a decode without the fold."""
        return self._has_room(CONTEXT, 0, now)

    def cancel(self, id_: UtteranceId) -> None:
        """Drop the waiting final of that utterance."""
        self.discard(lambda job: job.is_final_of(id_))

    def discard_stale(self, epochs: Mapping[Partition, int]) -> None:
        """Drop jobs of partitions that were revoked or opened again since."""
        self.discard(lambda job: job.is_stale(epochs))

    def discard(self, is_discarded: Callable[[Job], bool]) -> list[Job]:
        """Drop the waiting jobs that are discarded, and return them."""
        discarded = [each for each in self._waiting if is_discarded(each.job)]
        for waiting in discarded:
            self._remove(waiting)
        return [waiting.job for waiting in discarded]

    def _length(self, job: Job, *, padded: bool = False) -> int:
        """Return the encoder positions of a job; other attempts at a text are padded, too."""
        is_padded = padded or job.earlier or not self._budget.folded
        return CONTEXT if is_padded else positions(job.utterance.seconds)

    def _due(self, job: Job) -> float:
        """Return the due time; finals of one session are apart by their length, as in real time.

        An isolated job goes first: a crash that it does not cause counts as an attempt at it.
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

    def _may_take(self, waiting: _Waiting, now: float) -> bool:
        return waiting.kind is JobKind.FINAL or self._has_room(waiting.positions, 0, now)

    def _has_room(self, length: int, attempts: int, now: float) -> bool:
        return self._load.has_room(self._budget.overhead + length, attempts, now)

    def _candidates(self, first: int) -> Sequence[_Waiting]:
        """Return the job at index `first`, and others of its class after it."""
        class_ = _class(self._waiting[first])
        ahead = self._waiting[first : first + _LOOK_AHEAD * self._budget.rows]
        return [each for each in ahead if _class(each) == class_]

    def _drop_interim(self, newer: Job) -> None:
        older = self._interims.get(newer.id.session)
        if older is not None and older.job.id.utterance <= newer.id.utterance:
            self._remove(older)
            self._dropped.append(older.job)

    def _drop_stale(self, now: float) -> None:
        for stale in [each for each in self._interims.values() if each.due < now]:
            self._remove(stale)
            self._dropped.append(stale.job)

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
    """Return the batch with the first candidate that does most work for its time.

    Every length that the longest row may have is tried.
    """
    first = candidates[0].positions
    lengths = {_rounded(each.positions) for each in candidates if each.positions >= first}
    batches = [_filled(candidates, longest, budget) for longest in lengths | {_rounded(first)}]
    return max(batches, key=lambda batch: _worth(batch, budget))


def _filled(candidates: Sequence[_Waiting], longest: int, budget: Budget) -> list[_Waiting]:
    """Return rows of up to `longest` positions, in order; none lowers the work per time.

    A job waits if an earlier one of its stream does: its text could not be published before.
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
    """Return the work of a batch by its cost, both in positions; more rows break ties."""
    work = sum(each.positions for each in batch)
    longest = max(each.positions for each in batch)
    return work / (budget.overhead + len(batch) * longest), len(batch)


def _class(waiting: _Waiting) -> tuple[Lane, JobKind, int]:
    """Return what jobs of one batch have in common; other attempts need other parameters."""
    return waiting.lane, waiting.kind, len(waiting.job.earlier)


def _rounded(length: int) -> int:
    return -(-length // _STEP) * _STEP


def _milliseconds(job: Job) -> int:
    return round(job.utterance.seconds * 1000)
