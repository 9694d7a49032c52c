"""Which utterances the model takes next.

Batch when free: whenever the engine is idle it takes the best batch; there is no fixed wait. Order:
live before bulk, finals before partials, then the earliest deadline. A batch costs its rows times
the encoder positions of its longest row, so it is filled up to a budget of positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consumer.core.values import Batch, Job, Lane, Partition

POSITIONS_PER_S = 50  # encoder positions a second of audio
FOLDED_TAIL = 96  # positions that stand for the folded padding, about


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may hold."""

    positions: int  # rows times the positions of the longest
    rows: int


class Planner:
    """Jobs that wait; bounded by admission, which stops fetching above its mark."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def waiting_s(self, lane: Lane) -> float:
        """Seconds of speech that wait."""
        return sum(job.utterance.seconds for job in self._jobs if job.lane is lane)

    def add(self, jobs: list[Job]) -> None:
        self._jobs.extend(jobs)
        self._jobs.sort(key=_urgency)

    def take(self) -> Batch | None:
        """The most urgent job, and those after it that fit beside it; None: nothing waits."""
        chosen: list[Job] = []
        longest = 0
        for job in self._jobs:
            reach = max(longest, positions(job))
            if chosen and not self._fits(len(chosen) + 1, reach):
                continue
            chosen.append(job)
            longest = reach
        taken = {id(job) for job in chosen}
        self._jobs = [job for job in self._jobs if id(job) not in taken]
        return Batch(tuple(chosen)) if chosen else None

    def keep(self, epochs: Mapping[Partition, int]) -> None:
        """Forget jobs of partitions that are gone or were assigned anew."""
        self._jobs = [j for j in self._jobs if epochs.get(j.id.session.partition) == j.epoch]

    def _fits(self, rows: int, longest: int) -> bool:
        return rows <= self._budget.rows and rows * longest <= self._budget.positions


def positions(job: Job) -> int:
    """Encoder positions of the job's row once its padding is folded."""
    return round(job.utterance.seconds * POSITIONS_PER_S) + FOLDED_TAIL


def _urgency(job: Job) -> tuple[Lane, int, float]:
    return job.lane, job.kind, job.deadline
