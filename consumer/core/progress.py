"""One partition's ledger: what may be published, and where a successor has to resume.

Watermarks, named once and used so in code, metrics and docs (docs/guarantees.md):

    F  per stream: position of the lowest audio still needed, (offset, skip)
    N  next offset to be read; what goes by offset (dead letters, counters) is done below it
    R  offset to resume reading from: the lowest F of all streams with anything unfinished, else N

Each stream has one queue of entries in media order. An entry is *finished* once its events are
known; only the gapless finished prefix of a queue may be published, so finals leave in order, and
R never passes audio whose final is not out. A `Commit` is such a prefix of every queue, with the N
and R that hold once it is published. Output and progress belong together: a commit is prepared,
made and posted as a whole, one at a time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from consumer.core.values import Partition, Record
from schemas.transcript import AnyEvent


class Position(NamedTuple):
    """A sample's place in the log; comparable within one stream."""

    offset: int  # of the record that holds it
    skip: int  # samples of that record that come before it


class Ticket(NamedTuple):
    """Names an entry that waits for its events."""

    stream_id: str
    number: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be used, with the reason."""

    record: Record
    reason: str  # a stable code
    message: str  # for people


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit holds: output and progress, never one without the other."""

    partition: Partition
    epoch: int  # assignment epoch
    events: tuple[AnyEvent, ...]  # per stream in media order
    dead_letters: tuple[DeadLetter, ...]
    next_offset: int  # N once this is committed
    resume_offset: int  # R once this is committed
    taken: tuple[tuple[str, int], ...]  # entries taken of each stream's queue

    @property
    def is_empty(self) -> bool:
        """No output: progress alone, if that."""
        return not self.events and not self.dead_letters


@dataclass(slots=True)
class _Entry:
    start: Position  # where the audio begins that it stands for
    events: tuple[AnyEvent, ...] | None  # None: waiting


@dataclass(slots=True)
class _Queue:
    entries: deque[_Entry] = field(default_factory=deque)
    tail: Position | None = None  # where undecided audio begins; None: nothing is open
    first: int = 0  # number of the entry at the left end

    def finished(self) -> int:
        """Length of the finished prefix."""
        return sum(1 for _ in takewhile(lambda entry: entry.events is not None, self.entries))

    def needed(self, skip: int = 0) -> int | None:
        """Lowest offset still needed once `skip` entries are gone."""
        if skip < len(self.entries):
            return self.entries[skip].start.offset
        return None if self.tail is None else self.tail.offset


class Ledger:
    """Pure bookkeeping; raises `ValueError` on an illegal move and then changes nothing."""

    def __init__(self, partition: Partition, epoch: int, next_offset: int) -> None:
        self.partition = partition
        self.epoch = epoch
        self.next_offset = next_offset  # N in memory
        self.committed_next = next_offset  # N as committed
        self.committed_resume = next_offset  # R as committed
        self._queues: dict[str, _Queue] = {}
        self._ready: set[str] = set()  # streams whose queue begins with a finished entry
        self._dead: list[DeadLetter] = []
        self._open: Commit | None = None

    @property
    def has_output(self) -> bool:
        """Whether a commit would publish anything."""
        return bool(self._ready or self._dead) and self._open is None

    def read(self, offset: int) -> None:
        """The record at `offset` has been taken in."""
        if offset < self.next_offset:
            raise ValueError(f"offset {offset} was read before; next is {self.next_offset}")
        self.next_offset = offset + 1

    def bury(self, letter: DeadLetter) -> None:
        """The record goes to the dead-letter topic with the commit that moves past it."""
        self._dead.append(letter)

    def keep_from(self, stream_id: str, tail: Position | None) -> None:
        """Audio from `tail` on is undecided; None: the stream has ended, nothing is."""
        self._queues.setdefault(stream_id, _Queue()).tail = tail

    def expect(self, stream_id: str, start: Position) -> Ticket:
        """Queue an entry whose events are not known yet."""
        return self._append(stream_id, start, None)

    def note(self, stream_id: str, start: Position, *events: AnyEvent) -> None:
        """Queue events that are known already."""
        self._append(stream_id, start, events)

    def settle(self, ticket: Ticket, *events: AnyEvent) -> None:
        """The events of an expected entry are known."""
        queue = self._queues.get(ticket.stream_id)
        index = -1 if queue is None else ticket.number - queue.first
        if queue is None or not 0 <= index < len(queue.entries):
            raise ValueError(f"{ticket} names no entry that waits")
        if queue.entries[index].events is not None:
            raise ValueError(f"{ticket} is settled already")
        queue.entries[index].events = events
        self._mark(ticket.stream_id, queue)

    def prepare(self) -> Commit | None:
        """All that can be published now, or None when nothing has moved since the last commit."""
        if self._open is not None:
            raise ValueError("a commit is open: post it first")
        taken = tuple((name, self._queues[name].finished()) for name in sorted(self._ready))
        events = tuple(event for name, n in taken for event in self._events(name, n))
        commit = Commit(
            partition=self.partition,
            epoch=self.epoch,
            events=events,
            dead_letters=tuple(self._dead),
            next_offset=self.next_offset,
            resume_offset=self._resume(dict(taken)),
            taken=taken,
        )
        if commit.is_empty and not self._moved(commit):
            return None
        self._open = commit
        return commit

    def post(self, commit: Commit) -> None:
        """The commit has been made."""
        if commit is not self._open:
            raise ValueError("not the open commit")
        for name, count in commit.taken:
            self._drop(name, count)
        del self._dead[: len(commit.dead_letters)]
        self.committed_next, self.committed_resume = commit.next_offset, commit.resume_offset
        self._open = None
        self._forget_ended()

    def _append(
        self, stream_id: str, start: Position, events: tuple[AnyEvent, ...] | None
    ) -> Ticket:
        queue = self._queues.setdefault(stream_id, _Queue())
        queue.entries.append(_Entry(start, events))
        self._mark(stream_id, queue)
        return Ticket(stream_id, queue.first + len(queue.entries) - 1)

    def _events(self, stream_id: str, count: int) -> list[AnyEvent]:
        entries = list(self._queues[stream_id].entries)[:count]
        return [event for entry in entries for event in entry.events or ()]

    def _resume(self, taken: dict[str, int]) -> int:
        needed = (queue.needed(taken.get(name, 0)) for name, queue in self._queues.items())
        return min((offset for offset in needed if offset is not None), default=self.next_offset)

    def _moved(self, commit: Commit) -> bool:
        committed = (self.committed_next, self.committed_resume)
        return bool(commit.taken) or (commit.next_offset, commit.resume_offset) != committed

    def _drop(self, stream_id: str, count: int) -> None:
        queue = self._queues[stream_id]
        for _ in range(count):
            queue.entries.popleft()
        queue.first += count
        self._mark(stream_id, queue)

    def _mark(self, stream_id: str, queue: _Queue) -> None:
        if queue.finished():
            self._ready.add(stream_id)
        else:
            self._ready.discard(stream_id)

    def _forget_ended(self) -> None:
        for name in [n for n, q in self._queues.items() if not q.entries and q.tail is None]:
            del self._queues[name]
