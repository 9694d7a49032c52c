"""One partition's ledger: what may be published, and where a successor has to resume.

Watermarks, named once and used so in code, metrics and docs (docs/guarantees.md):

    F  per stream: lowest offset still needed, for audio from the stream's cut on
    N  next offset to be read; what goes by offset (dead letters, tallies) is done below it
    R  offset to resume reading from: the lowest F of all streams with anything unfinished, else the
       next offset to be read (N, unless a replay has not reached it yet)

Each stream has one queue of entries in media order. An entry is *finished* once its events are
known; only the gapless finished prefix of a queue may be published, so finals leave in order, and
F never passes audio whose final is not out. Every entry keeps the stream's state from before it:
the state that goes out with a prefix is that of the first entry which stays behind, or, if none
does, of the stream itself. A `Commit` is such a prefix of every queue, with the states, N and R
that hold once it is published. Output and progress belong together: a commit is prepared, made and
posted as a whole, one at a time.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any

from consumer.core.partition.commit import Commit, Outcome
from consumer.core.partition.state import Arrivals, Restored, Tally
from consumer.core.streams.entries import DeadLetter, Effect, EntryId
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import Partition
from consumer.core.streams.state import SessionState, StreamState
from schemas.errors import Reason


@dataclass(slots=True)
class _Entry:
    before: StreamState  # of its stream
    effects: tuple[Effect, ...] | None  # None: waiting
    since_ms: int  # append time from which it could be published


@dataclass(slots=True)
class _Queue:
    entries: deque[_Entry] = field(default_factory=deque)
    first: int = 0  # number of the entry at the left end

    def finished(self) -> int:
        """Length of the finished prefix."""
        return sum(1 for _ in takewhile(lambda entry: entry.effects is not None, self.entries))


class Ledger:
    """Pure bookkeeping; raises `ValueError` on an illegal move and then changes nothing."""

    def __init__(self, partition: Partition, epoch: int, restored: Restored) -> None:
        self.partition = partition
        self.epoch = epoch
        self.restored_next = restored.partition.next_offset  # N as it was found
        self.committed = restored.partition
        self.position = restored.partition.resume_offset  # next offset to be read
        self.time_ms = restored.partition.time_ms  # append time of the newest record read
        self.is_replay = False  # the last record read had been read before
        self.arrivals = restored.partition.arrivals  # as of N
        self._tally = Counter(asdict(restored.partition.tally))
        self._queues: dict[str, _Queue] = {}
        self._followed: dict[str, Callable[[], StreamState]] = {}
        self._needed = {name: state.needed_offset for name, state in restored.streams.items()}
        self._changed: set[str] = set()  # streams that may have moved since they were written
        self._admitted: set[str] = set()  # streams that no state tells of yet
        self._forgotten: set[str] = set()
        self._ready: set[str] = set()  # streams whose queue begins with a finished entry
        self._dead_letters: list[DeadLetter] = []
        self._attempts: list[EntryId] = []
        self._commit_required = False
        self._open: Commit | None = None

    @property
    def next_offset(self) -> int:
        """N in memory."""
        return max(self.restored_next, self.position)

    @property
    def has_output(self) -> bool:
        """Whether a commit would publish anything, or let a decode begin."""
        waits = self._ready or self._dead_letters or self._attempts or self._commit_required
        return bool(waits) and self._open is None

    @property
    def is_committing(self) -> bool:
        return self._open is not None

    def waits(self, stream_id: str) -> bool:
        """Whether anything of the stream is queued."""
        queue = self._queues.get(stream_id)
        return queue is not None and bool(queue.entries)

    @property
    def waiting_since_ms(self) -> int | None:
        """Append time from which the oldest entry could have been published; None: none waits."""
        entries = (entry for queue in self._queues.values() for entry in queue.entries)
        return min((entry.since_ms for entry in entries), default=None)

    def read(self, offset: int, timestamp_ms: int) -> None:
        """The record at `offset` is being taken in."""
        if offset < self.position:
            raise ValueError(f"offset {offset} was read before; next is {self.position}")
        self.is_replay = offset < self.restored_next
        if not self.is_replay and self.arrivals is None:
            self.arrivals = Arrivals()
        self.position = offset + 1
        self.time_ms = max(self.time_ms, timestamp_ms)

    def skip(self, offset: int, last_offset: int, timestamp_ms: int) -> range:
        """Records that nobody can read are passed over; those that were not passed before."""
        self.read(last_offset, timestamp_ms)
        fresh = range(max(offset, self.restored_next), last_offset + 1)
        self._tally[Outcome.DEAD_LETTER] += len(fresh)
        return fresh

    def tally(self, outcome: Outcome) -> None:
        """What became of the record just read; of a replayed one it was told before."""
        self._tally[outcome] += not self.is_replay

    def dead_letter(self, letter: DeadLetter) -> None:
        """The record just read goes to the dead-letter topic, unless it is there already."""
        if not self.is_replay:
            self._dead_letters.append(letter)

    def follow(self, stream_id: str, state: Callable[[], StreamState]) -> None:
        """`state` tells how far the stream has come."""
        self._followed[stream_id] = state
        self._forgotten.discard(stream_id)

    def admit(self, stream_id: str) -> None:
        """The stream is new: whoever replays must not turn it away, so its state leaves with N."""
        self._admitted.add(stream_id)

    def mark_changed(self, stream_id: str) -> None:
        """The stream's state may have moved."""
        self._changed.add(stream_id)

    def forget(self, stream_id: str) -> None:
        """The stream is over and nothing of it will be read again."""
        if self.waits(stream_id):
            raise ValueError(f"{stream_id} has entries that wait")
        del self._followed[stream_id]
        self._queues.pop(stream_id, None)
        self._changed.discard(stream_id)
        self._admitted.discard(stream_id)
        self._forgotten.add(stream_id)

    def append_pending(self, stream_id: str, since_ms: int | None = None) -> EntryId:
        """Queue an entry whose events are not known yet; the stream has not moved past it.

        `since_ms`: append time of the record that made it one; None: of the newest one.
        """
        return self._append(stream_id, None, since_ms)

    def append(self, stream_id: str, *effects: Effect) -> None:
        """Queue what is known already; the stream has not moved past it."""
        self._append(stream_id, effects)

    def complete(self, ticket: EntryId, *effects: Effect) -> None:
        """The events of an expected entry are known."""
        queue, entry = self._waiting(ticket)
        entry.effects = effects
        self._mark(ticket.stream_id, queue)

    def record_attempt(self, ticket: EntryId) -> None:
        """One more decode of this entry is to begin, as soon as that is committed."""
        session = self._before(ticket)
        self._correct(ticket, attempts=session.attempts + 1)
        self._attempts.append(ticket)

    def require_commit(self) -> None:
        """A decode may begin only once N as it is now is committed."""
        self._commit_required = True

    def set_language(self, ticket: EntryId, held: LanguageHold) -> None:
        """What its session's language is held to be, now that it is this entry's turn."""
        if self._before(ticket).language != held:
            self._correct(ticket, language=held)

    def prepare(
        self, *, progress: bool = True, clean: bool = False, force: bool = False
    ) -> Commit | None:
        """All that can be published now; None when there is nothing to commit.

        `progress`: with the states of all streams, and R. `clean`: nothing will follow. `force`:
        even where nothing has moved.
        """
        if self._open is not None:
            raise ValueError("a commit is open: post it first")
        taken = {name: self._queues[name].finished() for name in sorted(self._ready)}
        effects = [effect for name, n in taken.items() for effect in self._effects(name, n)]
        late = [effect for effect in effects if isinstance(effect, DeadLetter)]
        self._recount(late)
        streams = self._states(self._moved(taken, progress=progress), taken)
        state = replace(
            self.committed,
            next_offset=self.next_offset,
            resume_offset=self._resume(streams) if progress else self.committed.resume_offset,
            time_ms=self.time_ms,
            clean=clean,
            tally=Tally(**self._tally),
            arrivals=self.arrivals,
        )
        unclean = replace(self.committed, clean=clean and self.committed.clean)
        moved = progress and (bool(streams) or state != unclean)
        if not (
            force or moved or taken or self._dead_letters or self._attempts or self._commit_required
        ):
            return None
        self._commit_required = False
        self._open = Commit(
            partition=self.partition,
            epoch=self.epoch,
            events=tuple(effect for effect in effects if not isinstance(effect, DeadLetter)),
            dead_letters=(*self._dead_letters, *late),
            state=state,
            streams=tuple(streams.items()),
            published=tuple(taken.items()),
            dead_letter_count=len(self._dead_letters),
            attempts=tuple(self._attempts),
        )
        self._admitted.clear()
        if progress:
            self._changed.clear()
        return self._open

    def on_committed(self, commit: Commit) -> None:
        """The commit has been made."""
        if commit is not self._open:
            raise ValueError("not the open commit")
        for name, count in commit.published:
            self._drop(name, count)
        for name, state in commit.streams:
            if state is None:
                self._needed.pop(name, None)
                self._forgotten.discard(name)
            else:
                self._needed[name] = state.needed_offset
        del self._dead_letters[: commit.dead_letter_count]
        del self._attempts[: len(commit.attempts)]
        self.committed = commit.state
        self._open = None

    def _append(
        self, stream_id: str, effects: tuple[Effect, ...] | None, since_ms: int | None = None
    ) -> EntryId:
        queue = self._queues.setdefault(stream_id, _Queue())
        since_ms = self.time_ms if since_ms is None else since_ms
        queue.entries.append(_Entry(self._followed[stream_id](), effects, since_ms))
        self._mark(stream_id, queue)
        return EntryId(stream_id, queue.first + len(queue.entries) - 1)

    def _waiting(self, ticket: EntryId) -> tuple[_Queue, _Entry]:
        queue = self._queues.get(ticket.stream_id)
        index = -1 if queue is None else ticket.number - queue.first
        if queue is None or not 0 <= index < len(queue.entries):
            raise ValueError(f"{ticket} names no entry that waits")
        entry = queue.entries[index]
        if entry.effects is not None:
            raise ValueError(f"{ticket} is settled already")
        return queue, entry

    def _before(self, ticket: EntryId) -> SessionState:
        """Its session's state, as of before this entry."""
        session = self._waiting(ticket)[1].before.session
        if session is None:
            raise ValueError(f"{ticket} belongs to no session")
        return session

    def _correct(self, ticket: EntryId, **known: Any) -> None:
        """Of that state, what could not be known when the entry was queued."""
        session = replace(self._before(ticket), **known)
        _, entry = self._waiting(ticket)
        entry.before = replace(entry.before, session=session)

    def _effects(self, stream_id: str, count: int) -> list[Effect]:
        entries = list(self._queues[stream_id].entries)[:count]
        return [effect for entry in entries for effect in entry.effects or ()]

    def _recount(self, late: Iterable[DeadLetter]) -> None:
        """Records that were accepted until their turn came; an utterance is none."""
        records = sum(letter.reason != Reason.UNDECODABLE for letter in late)
        self._tally[Outcome.ACCEPTED] -= records
        self._tally[Outcome.DEAD_LETTER] += records

    def _moved(self, taken: Mapping[str, int], *, progress: bool) -> set[str]:
        """Streams whose state goes out with the commit."""
        moved = {*taken, *self._admitted, *(ticket.stream_id for ticket in self._attempts)}
        return moved | self._changed | self._forgotten if progress else moved

    def _states(
        self, names: Iterable[str], taken: Mapping[str, int]
    ) -> dict[str, StreamState | None]:
        return {name: self._state(name, taken.get(name, 0)) for name in sorted(names)}

    def _state(self, stream_id: str, taken: int) -> StreamState | None:
        """The stream's state once so many entries of its queue are gone."""
        if stream_id in self._forgotten:
            return None
        queue = self._queues.get(stream_id)
        if queue is not None and taken < len(queue.entries):
            return queue.entries[taken].before
        return self._followed[stream_id]()

    def _resume(self, moved: Mapping[str, StreamState | None]) -> int:
        needed = self._needed | {
            n: None if s is None else s.needed_offset for n, s in moved.items()
        }
        return min([self.position, *(at for at in needed.values() if at is not None)])

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
