"""The ledger of a partition: what may be published, and where the next owner resumes.

Watermarks (docs/guarantees.md):

    needed_offset  F, per stream: lowest offset still needed, for audio from the stream's cut on
    next_offset    N: next offset to be read; dead letters and tallies below it are complete
    resume_offset  R: offset to resume reading from: the lowest F of all streams with unfinished
                   audio, else the next offset to be read (N, or less during a replay)

Each stream has one queue of entries in media order. An entry is *finished* once its events are
known. Only the finished prefix of a queue may be published, so finals are published in order, and F
never passes audio whose final is not published. Every entry keeps the stream's state from before
it: the state committed with a prefix is that of the first entry after it, or the stream's present
state without one. A `Commit` is such a prefix of every queue, with the states, N and R that apply
once it is published. One commit at a time is prepared, made and acknowledged.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import takewhile
from typing import Any, TypeAlias

from consumer.core.partition.commit import Commit, EntryId, Outcome
from consumer.core.partition.state import Arrivals, PartitionState, Restored, Tally
from consumer.core.streams.entries import DeadLetter, Effect
from consumer.core.streams.language import LanguageHold
from consumer.core.streams.records import Partition
from consumer.core.streams.state import SessionState, StreamState
from schemas.errors import Reason

StateOf: TypeAlias = Callable[[str], StreamState]  # the present state of a stream, by its id


@dataclass(slots=True)
class _Entry:
    before: StreamState  # state of the stream before the entry
    effects: tuple[Effect, ...] | None  # None: not known yet
    since_ms: int  # append time from which it was due


@dataclass(slots=True)
class _Queue:
    entries: deque[_Entry] = field(default_factory=deque)
    first: int = 0  # number of the entry at the left end

    def finished(self) -> int:
        """Return the length of the finished prefix."""
        return sum(1 for _ in takewhile(lambda entry: entry.effects is not None, self.entries))


class Ledger:
    """Pure bookkeeping. Raises `ValueError` for an illegal call, and then changes nothing."""

    def __init__(self, partition: Partition, epoch: int, restored: Restored) -> None:
        self.partition = partition
        self.epoch = epoch
        self.restored_next = restored.partition.next_offset  # N as restored
        self.committed = restored.partition
        self.position = restored.partition.resume_offset  # next offset to be read
        self.time_ms = restored.partition.time_ms  # append time of the newest record read
        self.is_replay = False  # whether an earlier task had read the last record
        self.arrivals = restored.partition.arrivals  # as of N
        self._tally = Counter(asdict(restored.partition.tally))
        self._queues: dict[str, _Queue] = {}
        self._needed = {name: state.needed_offset for name, state in restored.streams.items()}
        self._changed: set[str] = set()  # their state may differ from the committed one
        self._admitted: set[str] = set()  # new streams without a committed state
        self._forgotten: set[str] = set()
        self._ready: set[str] = set()  # their queue begins with a finished entry
        self._dead_letters: list[DeadLetter] = []
        self._attempts: list[EntryId] = []
        self._commit_required = False
        self._open: Commit | None = None

    @property
    def next_offset(self) -> int:
        """N, as of the last record read."""
        return max(self.restored_next, self.position)

    @property
    def has_output(self) -> bool:
        """Whether a commit would publish something, or permit a decode."""
        waits = self._ready or self._dead_letters or self._attempts or self._commit_required
        return bool(waits) and self._open is None

    @property
    def is_committing(self) -> bool:
        return self._open is not None

    def waits(self, stream_id: str) -> bool:
        """Return whether anything of the stream is queued."""
        queue = self._queues.get(stream_id)
        return queue is not None and bool(queue.entries)

    @property
    def waiting_since_ms(self) -> int | None:
        """Append time since which the oldest entry is due; None without entries."""
        entries = (entry for queue in self._queues.values() for entry in queue.entries)
        return min((entry.since_ms for entry in entries), default=None)

    # --- records

    def read(self, offset: int, timestamp_ms: int) -> None:
        """Note that the record at `offset` is read."""
        if offset < self.position:
            raise ValueError(f"offset {offset} was read before; next is {self.position}")
        self.is_replay = offset < self.restored_next
        if not self.is_replay and self.arrivals is None:
            self.arrivals = Arrivals()
        self.position = offset + 1
        self.time_ms = max(self.time_ms, timestamp_ms)

    def skip(self, offset: int, last_offset: int, timestamp_ms: int) -> range:
        """Skip records that cannot be read; return the offsets that no earlier task skipped."""
        self.read(last_offset, timestamp_ms)
        fresh = range(max(offset, self.restored_next), last_offset + 1)
        self._tally[Outcome.DEAD_LETTER] += len(fresh)
        return fresh

    def tally(self, outcome: Outcome) -> None:
        """Count the outcome of the record just read, unless an earlier task counted it."""
        self._tally[outcome] += not self.is_replay

    def dead_letter(self, letter: DeadLetter) -> None:
        """Dead-letter the record just read, unless an earlier task did."""
        if not self.is_replay:
            self._dead_letters.append(letter)

    def dead_letter_accepted(self, letters: Sequence[DeadLetter]) -> None:
        """Dead-letter records that an earlier task accepted."""
        self._dead_letters.extend(letters)
        self._recount(letters)

    # --- streams

    def admit(self, stream_id: str) -> None:
        """Note a new stream. Its state is committed with N, so that a replay does not reject it."""
        self._admitted.add(stream_id)
        self._forgotten.discard(stream_id)

    def mark_changed(self, stream_id: str) -> None:
        """Note that the stream's state may differ from the committed one."""
        self._changed.add(stream_id)

    def forget(self, stream_id: str) -> None:
        """Delete the state of an ended stream with the next commit."""
        if self.waits(stream_id):
            raise ValueError(f"{stream_id} has entries that wait")
        self._queues.pop(stream_id, None)
        self._changed.discard(stream_id)
        self._admitted.discard(stream_id)
        self._forgotten.add(stream_id)

    # --- entries

    def append_pending(
        self, stream_id: str, before: StreamState, since_ms: int | None = None
    ) -> EntryId:
        """Queue an entry whose events are not known yet.

        `since_ms`: append time since which it is due; None: that of the newest record.
        """
        return self._append(stream_id, before, None, since_ms)

    def append(self, stream_id: str, before: StreamState, *effects: Effect) -> None:
        """Queue an entry that is finished."""
        self._append(stream_id, before, effects, None)

    def complete(self, entry_id: EntryId, *effects: Effect) -> None:
        """Finish a pending entry."""
        queue, entry = self._pending(entry_id)
        entry.effects = effects
        self._update_ready(entry_id.stream_id, queue)

    def is_published(self, entry_id: EntryId) -> bool:
        """Return whether a commit has published the entry."""
        queue = self._queues.get(entry_id.stream_id)
        return queue is None or entry_id.number < queue.first

    def record_attempt(self, entry_id: EntryId) -> None:
        """Count one more attempt at the entry; it may begin once this is committed."""
        session = self._session_before(entry_id)
        self._correct(entry_id, attempts=session.attempts + 1)
        self._attempts.append(entry_id)

    def require_commit(self) -> None:
        """Require a commit of N, for which a decode waits."""
        self._commit_required = True

    def set_language(self, entry_id: EntryId, language: LanguageHold) -> None:
        """Set the held language of the entry's session before the entry."""
        if self._session_before(entry_id).language != language:
            self._correct(entry_id, language=language)

    # --- commits

    def prepare(
        self,
        state_of: StateOf,
        *,
        progress: bool = True,
        clean: bool = False,
        force: bool = False,
    ) -> Commit | None:
        """Return the next commit, or None if there is nothing to commit.

        `progress`: include R and the states of all changed streams. `clean`: nothing is in flight.
        `force`: commit even if nothing has changed.
        """
        if self._open is not None:
            raise ValueError("a commit is open: acknowledge it first")
        published = {name: self._queues[name].finished() for name in sorted(self._ready)}
        effects = [effect for name, n in published.items() for effect in self._effects(name, n)]
        letters = [effect for effect in effects if isinstance(effect, DeadLetter)]
        self._recount(letters)
        changed = sorted(self._to_write(published, progress=progress))
        streams = {name: self._state(name, published.get(name, 0), state_of) for name in changed}
        resume_offset = self._resume(streams) if progress else self.committed.resume_offset
        state = self._next_state(resume_offset, clean=clean)
        unclean = replace(self.committed, clean=clean and self.committed.clean)
        moved = progress and (bool(streams) or state != unclean)
        if not (force or moved or self.has_output):
            return None
        self._commit_required = False
        self._open = Commit(
            partition=self.partition,
            epoch=self.epoch,
            events=tuple(effect for effect in effects if not isinstance(effect, DeadLetter)),
            dead_letters=(*self._dead_letters, *letters),
            state=state,
            streams=tuple(streams.items()),
            published=tuple(published.items()),
            dead_letter_count=len(self._dead_letters),
            attempts=tuple(self._attempts),
        )
        self._admitted.clear()
        if progress:
            self._changed.clear()
        return self._open

    def _next_state(self, resume_offset: int, *, clean: bool) -> PartitionState:
        return replace(
            self.committed,
            next_offset=self.next_offset,
            resume_offset=resume_offset,
            time_ms=self.time_ms,
            clean=clean,
            tally=Tally(**self._tally),
            arrivals=self.arrivals,
        )

    def on_committed(self, commit: Commit) -> None:
        """Acknowledge that the open commit was made."""
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
        self,
        stream_id: str,
        before: StreamState,
        effects: tuple[Effect, ...] | None,
        since_ms: int | None,
    ) -> EntryId:
        queue = self._queues.setdefault(stream_id, _Queue())
        since_ms = self.time_ms if since_ms is None else since_ms
        queue.entries.append(_Entry(before, effects, since_ms))
        self._update_ready(stream_id, queue)
        return EntryId(stream_id, queue.first + len(queue.entries) - 1)

    def _pending(self, entry_id: EntryId) -> tuple[_Queue, _Entry]:
        queue = self._queues.get(entry_id.stream_id)
        index = -1 if queue is None else entry_id.number - queue.first
        if queue is None or not 0 <= index < len(queue.entries):
            raise ValueError(f"{entry_id} is not in the queue")
        entry = queue.entries[index]
        if entry.effects is not None:
            raise ValueError(f"{entry_id} is finished already")
        return queue, entry

    def _session_before(self, entry_id: EntryId) -> SessionState:
        """Return the state of the entry's session before the entry."""
        session = self._pending(entry_id)[1].before.session
        if session is None:
            raise ValueError(f"{entry_id} belongs to no session")
        return session

    def _correct(self, entry_id: EntryId, **known: Any) -> None:
        """Change fields of that state which were not known when the entry was queued."""
        session = replace(self._session_before(entry_id), **known)
        _, entry = self._pending(entry_id)
        entry.before = replace(entry.before, session=session)

    def _effects(self, stream_id: str, count: int) -> list[Effect]:
        entries = list(self._queues[stream_id].entries)[:count]
        return [effect for entry in entries for effect in entry.effects or ()]

    def _recount(self, letters: Iterable[DeadLetter]) -> None:
        """Count accepted records that became dead letters; an utterance is not a record."""
        records = sum(letter.reason != Reason.UNDECODABLE for letter in letters)
        self._tally[Outcome.ACCEPTED] -= records
        self._tally[Outcome.DEAD_LETTER] += records

    def _to_write(self, published: Mapping[str, int], *, progress: bool) -> set[str]:
        """Return the streams whose state the commit includes."""
        attempted = (entry.stream_id for entry in self._attempts)
        names = {*published, *self._admitted, *self._forgotten, *attempted}
        return names | self._changed if progress else names

    def _state(self, stream_id: str, published: int, state_of: StateOf) -> StreamState | None:
        """Return the stream's state after `published` entries of its queue are published."""
        if stream_id in self._forgotten:
            return None
        queue = self._queues.get(stream_id)
        if queue is not None and published < len(queue.entries):
            return queue.entries[published].before
        return state_of(stream_id)

    def _resume(self, changed: Mapping[str, StreamState | None]) -> int:
        needed = self._needed | {
            name: None if state is None else state.needed_offset for name, state in changed.items()
        }
        return min([self.position, *(at for at in needed.values() if at is not None)])

    def _drop(self, stream_id: str, count: int) -> None:
        queue = self._queues[stream_id]
        for _ in range(count):
            queue.entries.popleft()
        queue.first += count
        self._update_ready(stream_id, queue)

    def _update_ready(self, stream_id: str, queue: _Queue) -> None:
        if queue.finished():
            self._ready.add(stream_id)
        else:
            self._ready.discard(stream_id)
