from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from budget import examples
from builders import OPTIONS, PARTITION, RATE, fresh
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.core.partition.commit import Commit, EntryId, Outcome
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import PartitionState, Restored, Tally
from consumer.core.streams.entries import DeadLetter, Effect
from consumer.core.streams.records import Record
from consumer.core.streams.state import SessionState, StreamState
from schemas.transcript import StreamWarning


def event(stream_id: str, index: int) -> StreamWarning:
    return StreamWarning(stream_id=stream_id, session_id="0-0", index=index, time_ms=0, message="")


def letter(offset: int) -> DeadLetter:
    return DeadLetter(Record(PARTITION, offset, 0, b"s", b"", ()), "bad_header", "why")


SESSION = SessionState("0-0", RATE, 1, OPTIONS, None, 0, False, (0, 0.0), 0, 0, 0, 0, 0)


@dataclass
class FakeStream:
    """A stream whose state tests set."""

    needed: int | None = None  # lowest offset still needed
    taken: int = 0
    session: SessionState | None = SESSION

    def state(self) -> StreamState:
        return StreamState(self.needed, self.taken, 0, None, self.session)


class StreamLedger(Ledger):
    """A ledger that takes the states of its streams, as a partition does."""

    def __init__(self, restored: Restored) -> None:
        super().__init__(PARTITION, 1, restored)
        self._states: dict[str, Callable[[], StreamState]] = {}

    def register(self, stream_id: str, state: Callable[[], StreamState]) -> None:
        self._states[stream_id] = state
        self._forgotten.discard(stream_id)

    def add_pending(self, stream_id: str, since_ms: int | None = None) -> EntryId:
        return self.append_pending(stream_id, self._states[stream_id](), since_ms)

    def add(self, stream_id: str, *effects: Effect) -> None:
        self.append(stream_id, self._states[stream_id](), *effects)

    def prepare_all(self, **how: bool) -> Commit | None:
        return self.prepare(lambda stream_id: self._states[stream_id](), **how)


def ledger_at(next_offset: int, **streams: FakeStream) -> StreamLedger:
    ledger = StreamLedger(fresh(next_offset))
    for name, stream in streams.items():
        ledger.register(name, stream.state)
    return ledger


def prepared(ledger: StreamLedger, **how: bool) -> Commit:
    commit = ledger.prepare_all(**how)
    assert commit is not None
    return commit


def committed(ledger: StreamLedger, **how: bool) -> Commit:
    commit = prepared(ledger, **how)
    ledger.on_committed(commit)
    return commit


def offsets(commit: Commit) -> tuple[int, int]:
    return commit.state.next_offset, commit.state.resume_offset


def test_without_records_there_is_nothing_to_commit():
    assert ledger_at(7).prepare_all() is None
    assert not ledger_at(7).has_output


def test_a_commit_can_be_forced():
    """It proves that this worker owns the partition."""
    commit = committed(ledger_at(7), force=True)
    assert offsets(commit) == (7, 7)
    assert (commit.events, commit.streams) == ((), ())


def test_waiting_since_is_that_of_the_oldest_uncommitted_entry():
    ledger = ledger_at(0, s=FakeStream(), t=FakeStream())
    assert ledger.waiting_since_ms is None
    ledger.read(0, 500)
    entry_id = ledger.add_pending("s", 300)
    ledger.add("t", event("t", 0))
    assert ledger.waiting_since_ms == 300
    committed(ledger)
    assert ledger.waiting_since_ms == 300
    ledger.complete(entry_id, event("s", 0))
    commit = prepared(ledger)
    assert ledger.waiting_since_ms == 300
    ledger.on_committed(commit)
    assert ledger.waiting_since_ms is None


def test_an_entry_that_was_complete_at_once_waits_since_the_newest_record():
    ledger = ledger_at(0, s=FakeStream())
    ledger.read(0, 500)
    ledger.add("s", event("s", 0))
    assert ledger.waiting_since_ms == 500


def test_a_record_without_undecided_audio_moves_both_watermarks():
    ledger = ledger_at(7)
    ledger.read(7, 50)
    commit = committed(ledger)
    assert offsets(commit) == (8, 8)
    assert commit.state.time_ms == 50
    assert ledger.prepare_all() is None


def test_offsets_without_a_record_are_passed():
    ledger = ledger_at(0)
    ledger.read(5, 0)
    assert offsets(committed(ledger)) == (6, 6)


def test_undecided_audio_holds_the_resume_offset():
    one, two = FakeStream(3), FakeStream(6)
    ledger = ledger_at(0, one=one, two=two)
    for offset in range(10):
        ledger.read(offset, 0)
    ledger.mark_changed("one")
    ledger.mark_changed("two")
    assert offsets(committed(ledger)) == (10, 3)
    one.needed = None
    ledger.mark_changed("one")
    commit = committed(ledger)
    assert offsets(commit) == (10, 6)
    assert [name for name, _ in commit.streams] == ["one"]


def test_a_commit_of_output_alone_keeps_the_resume_offset():
    stream = FakeStream(0)
    ledger = ledger_at(0, one=stream)
    ledger.read(0, 0)
    ledger.add("one", event("one", 0))
    stream.needed = None
    assert offsets(committed(ledger, progress=False)) == (1, 0)
    assert ledger.prepare_all(progress=False) is None
    assert offsets(committed(ledger)) == (1, 1)


def test_events_wait_for_earlier_entries_of_their_stream():
    stream = FakeStream(0)
    ledger = ledger_at(0, one=stream)
    ledger.read(0, 0)
    first = ledger.add_pending("one")
    second = ledger.add_pending("one")
    stream.needed = None
    ledger.complete(second, event("one", 1))
    assert not ledger.has_output
    ledger.mark_changed("one")
    assert offsets(committed(ledger)) == (1, 0)
    ledger.complete(first, event("one", 0))
    assert ledger.has_output
    commit = committed(ledger)
    assert commit.events == (event("one", 0), event("one", 1))
    assert offsets(commit) == (1, 1)


def test_the_committed_state_is_that_before_the_first_uncommitted_entry():
    stream = FakeStream(0)
    ledger = ledger_at(0, one=stream)
    ledger.add("one", event("one", 0))
    stream.session = replace(SESSION, events=1)
    ledger.add_pending("one")
    stream.session = replace(SESSION, events=2)
    (_, state), *_ = committed(ledger).streams
    assert state is not None
    assert state.session == replace(SESSION, events=1)


def test_one_stream_does_not_wait_for_another():
    ledger = ledger_at(0, slow=FakeStream(0), quick=FakeStream(1))
    ledger.read(0, 0)
    ledger.add_pending("slow")
    ledger.mark_changed("slow")
    ledger.read(1, 0)
    ledger.add("quick", event("quick", 0))
    commit = committed(ledger)
    assert commit.events == (event("quick", 0),)
    assert offsets(commit) == (2, 0)


def test_output_during_a_commit_belongs_to_the_next_one():
    stream = FakeStream()
    ledger = ledger_at(0, one=stream)
    ledger.read(0, 0)
    ledger.add("one", event("one", 0))
    commit = prepared(ledger)
    ledger.read(1, 0)
    ledger.add("one", event("one", 1))
    ledger.dead_letter(letter(1))
    assert not ledger.has_output
    assert commit.events == (event("one", 0),)
    assert offsets(commit) == (1, 1)
    ledger.on_committed(commit)
    assert ledger.committed == commit.state
    second = committed(ledger)
    assert second.events == (event("one", 1),)
    assert second.dead_letters == (letter(1),)


def test_dead_letters_are_published_once():
    ledger = ledger_at(0)
    ledger.read(0, 0)
    ledger.dead_letter(letter(0))
    assert ledger.has_output
    assert committed(ledger).dead_letters == (letter(0),)
    ledger.read(1, 0)
    assert committed(ledger).dead_letters == ()


def test_a_dead_letter_can_be_an_effect_in_the_queue_of_a_stream():
    ledger = ledger_at(0, one=FakeStream())
    entry_id = ledger.add_pending("one")
    ledger.add("one", event("one", 1))
    assert not ledger.has_output
    ledger.complete(entry_id, event("one", 0), letter(0))
    commit = committed(ledger)
    assert commit.events == (event("one", 0), event("one", 1))
    assert commit.dead_letters == (letter(0),)


def test_below_the_restored_next_offset_nothing_is_counted_or_dead_lettered_again():
    restored = Restored(PartitionState(10, 8, tally=Tally(accepted=10)))
    ledger = StreamLedger(restored)
    for offset in (8, 9, 10):
        ledger.read(offset, 0)
        ledger.tally(Outcome.DEAD_LETTER)
        ledger.dead_letter(letter(offset))
        assert ledger.next_offset == max(10, offset + 1)
    commit = committed(ledger)
    assert commit.dead_letters == (letter(10),)
    assert commit.state.tally == Tally(accepted=10, dead_letter=1)


def test_a_replay_resumes_no_later_than_it_has_read():
    """Streams may have later records that this worker has not read again yet."""
    ledger = StreamLedger(Restored(PartitionState(10, 4)))
    ledger.read(4, 0)
    assert offsets(committed(ledger)) == (10, 5)


def test_a_stream_without_new_records_holds_the_resume_offset():
    state = StreamState(4, 4, 0, None, SESSION)
    ledger = StreamLedger(Restored(PartitionState(10, 4), {"one": state}))
    ledger.register("one", lambda: state)
    for offset in range(4, 12):
        ledger.read(offset, 0)
    assert offsets(committed(ledger)) == (12, 4)


def test_a_forgotten_stream_is_deleted_from_state_and_may_start_again():
    stream = FakeStream()
    ledger = ledger_at(0, one=stream)
    ledger.read(0, 0)
    ledger.add("one", event("one", 0))
    committed(ledger)
    ledger.forget("one")
    assert committed(ledger).streams == (("one", None),)
    ledger.read(1, 0)
    ledger.register("one", stream.state)
    ledger.complete(ledger.add_pending("one"), event("one", 1))
    assert committed(ledger).events == (event("one", 1),)


def test_a_stream_with_uncommitted_entries_cannot_be_forgotten():
    ledger = ledger_at(0, one=FakeStream())
    ledger.read(0, 0)
    ledger.add("one", event("one", 0))
    with pytest.raises(ValueError, match="one has entries that wait"):
        ledger.forget("one")
    assert committed(ledger).events == (event("one", 0),)


def test_an_attempt_is_written_in_the_next_commit():
    ledger = ledger_at(0, one=FakeStream(0))
    ledger.read(0, 0)
    entry_id = ledger.add_pending("one")
    committed(ledger)
    ledger.record_attempt(entry_id)
    assert ledger.has_output
    commit = committed(ledger, progress=False)
    assert commit.attempts == (entry_id,)
    ((_, state),) = commit.streams
    assert state is not None
    assert state.session == replace(SESSION, attempts=1)
    assert not ledger.has_output


def test_an_attempt_requires_an_open_session():
    ledger = ledger_at(0, one=FakeStream(0, session=None))
    with pytest.raises(ValueError, match="belongs to no session"):
        ledger.record_attempt(ledger.add_pending("one"))


def test_a_clean_end_is_written_once():
    ledger = ledger_at(0)
    ledger.read(0, 0)
    assert not committed(ledger).state.clean
    assert committed(ledger, clean=True).state.clean
    assert ledger.prepare_all(clean=True) is None


@dataclass
class Entry:
    """A queued entry in the model."""

    before: int | None  # lowest offset needed before it
    events: tuple[StreamWarning, ...]
    entry_id: EntryId | None  # None: finished


@dataclass
class StreamModel(FakeStream):
    """One stream in the model."""

    entries: list[Entry] = field(default_factory=list)
    published: list[StreamWarning] = field(default_factory=list)
    events: count[int] = field(default_factory=count)

    def prefix(self) -> list[Entry]:
        waits = [index for index, entry in enumerate(self.entries) if entry.entry_id is not None]
        return self.entries[: waits[0] if waits else len(self.entries)]


def snapshot(ledger: StreamLedger) -> dict[str, object]:
    """Return a copy of the ledger's attributes, without the streams."""
    return copy.deepcopy({name: v for name, v in vars(ledger).items() if name != "_states"})


NAMES = st.sampled_from("abc")


class LedgerMachine(RuleBasedStateMachine):
    """Random legal calls, checked against a model; per stream, positions never decrease."""

    def __init__(self) -> None:
        super().__init__()
        self.streams = {name: StreamModel() for name in "abc"}
        self.ledger = ledger_at(5, **self.streams)
        self.dead_letters: list[DeadLetter] = []
        self.published_letters: list[DeadLetter] = []
        self.commit: Commit | None = None
        self.prefixes: dict[str, int] = {}

    @property
    def pending(self) -> list[tuple[StreamModel, Entry]]:
        return [
            (stream, entry)
            for stream in self.streams.values()
            for entry in stream.entries
            if entry.entry_id is not None
        ]

    @rule(name=NAMES, skipped=st.integers(0, 2))
    def record(self, name: str, skipped: int) -> None:
        offset = self.ledger.next_offset + skipped
        self.ledger.read(offset, 0)
        stream = self.streams[name]
        stream.needed = offset if stream.needed is None else stream.needed
        self.ledger.mark_changed(name)

    @rule(name=NAMES, ahead=st.integers(0, 3))
    def cut(self, name: str, ahead: int) -> None:
        stream = self.streams[name]
        if stream.needed is None:
            return
        entry_id = self.ledger.add_pending(name)
        stream.entries.append(Entry(stream.needed, (event(name, next(stream.events)),), entry_id))
        stream.needed = min(stream.needed + ahead, self.ledger.next_offset - 1)
        self.ledger.mark_changed(name)

    @rule(name=NAMES, events=st.integers(0, 2))
    def add(self, name: str, events: int) -> None:
        stream = self.streams[name]
        added = tuple(event(name, next(stream.events)) for _ in range(events))
        self.ledger.add(name, *added)
        stream.entries.append(Entry(stream.needed, added, None))

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        self.streams[name].needed = None
        self.ledger.mark_changed(name)

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.pending))
        assert entry.entry_id is not None
        self.ledger.complete(entry.entry_id, *entry.events)
        entry.entry_id = None

    @rule()
    def dead_letter(self) -> None:
        self.ledger.read(self.ledger.next_offset, 0)
        self.dead_letters.append(letter(self.ledger.next_offset - 1))
        self.ledger.dead_letter(self.dead_letters[-1])

    @precondition(lambda self: self.commit is None)
    @rule(progress=st.booleans())
    def prepare(self, *, progress: bool) -> None:
        before = self.ledger.committed
        commit = self.ledger.prepare_all(progress=progress)
        prefixes = {name: stream.prefix() for name, stream in self.streams.items()}
        if commit is None:
            assert not any(prefixes.values())
            assert not self.dead_letters
            assert not progress or self.ledger.next_offset == before.next_offset
            return
        assert commit.state.next_offset == self.ledger.next_offset
        assert commit.state.resume_offset >= before.resume_offset
        assert commit.state.resume_offset == (
            self.resume_offset(prefixes) if progress else before.resume_offset
        )
        assert commit.dead_letters == tuple(self.dead_letters)
        for name, prefix in prefixes.items():
            published = [e for e in commit.events if e.stream_id == name]
            assert published == [e for entry in prefix for e in entry.events]
        self.commit, self.prefixes = commit, {n: len(prefix) for n, prefix in prefixes.items()}

    def resume_offset(self, prefixes: dict[str, list[Entry]]) -> int:
        """Return R: the lowest offset that an entry left in a queue, or a stream, needs."""
        needed = []
        for name, stream in self.streams.items():
            remaining = stream.entries[len(prefixes[name]) :]
            needed.append(remaining[0].before if remaining else stream.needed)
        return min((at for at in needed if at is not None), default=self.ledger.next_offset)

    @precondition(lambda self: self.commit is not None)
    @rule()
    def acknowledge(self) -> None:
        assert self.commit is not None
        self.ledger.on_committed(self.commit)
        for name, stream in self.streams.items():
            taken, stream.entries = (
                stream.entries[: self.prefixes[name]],
                stream.entries[self.prefixes[name] :],
            )
            stream.published += [e for entry in taken for e in entry.events]
        self.published_letters += self.commit.dead_letters
        del self.dead_letters[: len(self.commit.dead_letters)]
        assert self.ledger.committed == self.commit.state
        self.commit = None

    @rule(ahead=st.integers(1, 3), name=NAMES)
    def illegal(self, ahead: int, name: str) -> None:
        """Illegal calls raise and change nothing."""
        before = snapshot(self.ledger)
        free = len(self.streams[name].entries) + 10_000
        with pytest.raises(ValueError, match="was read before"):
            self.ledger.read(self.ledger.position - ahead, 0)
        with pytest.raises(ValueError, match="is not in the queue"):
            self.ledger.complete(EntryId(name, free), event(name, 0))
        with pytest.raises(ValueError, match="is not in the queue"):
            self.ledger.complete(EntryId("unknown", 0), event("unknown", 0))
        with pytest.raises(ValueError, match="not the open commit"):
            self.ledger.on_committed(
                Commit(PARTITION, 1, (), (), PartitionState(0, 0), (), (), 0, ())
            )
        if self.commit is not None:
            with pytest.raises(ValueError, match="acknowledge it first"):
                self.ledger.prepare_all()
        assert snapshot(self.ledger) == before

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def complete_twice(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.pending))
        entry_id = entry.entry_id
        assert entry_id is not None
        self.ledger.complete(entry_id, *entry.events)
        entry.entry_id = None
        before = snapshot(self.ledger)
        with pytest.raises(ValueError, match="is finished already"):
            self.ledger.complete(entry_id)
        assert snapshot(self.ledger) == before

    @invariant()
    def output_is_announced(self) -> None:
        ready = any(stream.prefix() for stream in self.streams.values()) or bool(self.dead_letters)
        assert self.ledger.has_output == (ready and self.commit is None)

    def teardown(self) -> None:
        """End all streams; all events were published once, in order, and no offset is held."""
        if self.commit is not None:
            self.acknowledge()
        for _, entry in self.pending:
            assert entry.entry_id is not None
            self.ledger.complete(entry.entry_id, *entry.events)
            entry.entry_id = None
        for name in self.streams:
            self.end(name)
        self.prepare(progress=True)
        if self.commit is not None:
            self.acknowledge()
        assert self.ledger.prepare_all() is None
        state = self.ledger.committed
        assert state.resume_offset == state.next_offset == self.ledger.next_offset
        for name, stream in self.streams.items():
            assert stream.published == [event(name, i) for i in range(next(stream.events))]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(examples(60), stateful_step_count=30)
