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
class Line:
    """A stream that says where it is."""

    tail: int | None = None  # lowest offset still needed
    taken: int = 0
    session: SessionState | None = SESSION

    def state(self) -> StreamState:
        return StreamState(self.tail, self.taken, 0, None, self.session)


class LineLedger(Ledger):
    """A ledger that asks its lines for their states, as a partition asks its streams."""

    def __init__(self, restored: Restored) -> None:
        super().__init__(PARTITION, 1, restored)
        self._lines: dict[str, Callable[[], StreamState]] = {}

    def follow(self, stream_id: str, state: Callable[[], StreamState]) -> None:
        self._lines[stream_id] = state
        self._forgotten.discard(stream_id)

    def expect(self, stream_id: str, since_ms: int | None = None) -> EntryId:
        return self.append_pending(stream_id, self._lines[stream_id](), since_ms)

    def note(self, stream_id: str, *effects: Effect) -> None:
        self.append(stream_id, self._lines[stream_id](), *effects)

    def prepare_all(self, **how: bool) -> Commit | None:
        return self.prepare(lambda stream_id: self._lines[stream_id](), **how)


def ledger_at(next_offset: int, **streams: Line) -> LineLedger:
    ledger = LineLedger(fresh(next_offset))
    for name, line in streams.items():
        ledger.follow(name, line.state)
    return ledger


def prepared(ledger: LineLedger, **how: bool) -> Commit:
    commit = ledger.prepare_all(**how)
    assert commit is not None
    return commit


def committed(ledger: LineLedger, **how: bool) -> Commit:
    commit = prepared(ledger, **how)
    ledger.on_committed(commit)
    return commit


def offsets(commit: Commit) -> tuple[int, int]:
    return commit.state.next_offset, commit.state.resume_offset


def test_nothing_read_nothing_to_commit():
    assert ledger_at(7).prepare_all() is None
    assert not ledger_at(7).has_output


def test_a_commit_can_be_forced():
    """It proves whose the partition is."""
    commit = committed(ledger_at(7), force=True)
    assert offsets(commit) == (7, 7)
    assert (commit.events, commit.streams) == ((), ())


def test_the_oldest_entry_that_is_not_committed_waits_until_it_is():
    ledger = ledger_at(0, s=Line(), t=Line())
    assert ledger.waiting_since_ms is None
    ledger.read(0, 500)
    ticket = ledger.expect("s", 300)
    ledger.note("t", event("t", 0))
    assert ledger.waiting_since_ms == 300
    committed(ledger)
    assert ledger.waiting_since_ms == 300
    ledger.complete(ticket, event("s", 0))
    commit = prepared(ledger)
    assert ledger.waiting_since_ms == 300
    ledger.on_committed(commit)
    assert ledger.waiting_since_ms is None


def test_what_is_known_at_once_waits_since_the_newest_record():
    ledger = ledger_at(0, s=Line())
    ledger.read(0, 500)
    ledger.note("s", event("s", 0))
    assert ledger.waiting_since_ms == 500


def test_a_record_that_leaves_nothing_open_moves_both_watermarks():
    ledger = ledger_at(7)
    ledger.read(7, 50)
    commit = committed(ledger)
    assert offsets(commit) == (8, 8)
    assert commit.state.time_ms == 50
    assert ledger.prepare_all() is None


def test_offsets_that_kafka_skips_are_passed():
    ledger = ledger_at(0)
    ledger.read(5, 0)
    assert offsets(committed(ledger)) == (6, 6)


def test_undecided_audio_holds_the_resume_offset():
    one, two = Line(3), Line(6)
    ledger = ledger_at(0, one=one, two=two)
    for offset in range(10):
        ledger.read(offset, 0)
    ledger.mark_changed("one")
    ledger.mark_changed("two")
    assert offsets(committed(ledger)) == (10, 3)
    one.tail = None
    ledger.mark_changed("one")
    commit = committed(ledger)
    assert offsets(commit) == (10, 6)
    assert [name for name, _ in commit.streams] == ["one"]


def test_output_alone_leaves_the_resume_offset_where_it_is():
    line = Line(0)
    ledger = ledger_at(0, one=line)
    ledger.read(0, 0)
    ledger.note("one", event("one", 0))
    line.tail = None
    assert offsets(committed(ledger, progress=False)) == (1, 0)
    assert ledger.prepare_all(progress=False) is None
    assert offsets(committed(ledger)) == (1, 1)


def test_events_wait_for_the_entry_before_them():
    line = Line(0)
    ledger = ledger_at(0, one=line)
    ledger.read(0, 0)
    first = ledger.expect("one")
    second = ledger.expect("one")
    line.tail = None
    ledger.complete(second, event("one", 1))
    assert not ledger.has_output
    ledger.mark_changed("one")
    assert offsets(committed(ledger)) == (1, 0)
    ledger.complete(first, event("one", 0))
    assert ledger.has_output
    commit = committed(ledger)
    assert commit.events == (event("one", 0), event("one", 1))
    assert offsets(commit) == (1, 1)


def test_the_state_that_goes_out_is_that_before_the_first_entry_left_behind():
    line = Line(0)
    ledger = ledger_at(0, one=line)
    ledger.note("one", event("one", 0))
    line.session = replace(SESSION, events=1)
    ledger.expect("one")
    line.session = replace(SESSION, events=2)
    (_, state), *_ = committed(ledger).streams
    assert state is not None
    assert state.session == replace(SESSION, events=1)


def test_one_stream_does_not_wait_for_another():
    ledger = ledger_at(0, slow=Line(0), quick=Line(1))
    ledger.read(0, 0)
    ledger.expect("slow")
    ledger.mark_changed("slow")
    ledger.read(1, 0)
    ledger.note("quick", event("quick", 0))
    commit = committed(ledger)
    assert commit.events == (event("quick", 0),)
    assert offsets(commit) == (2, 0)


def test_what_comes_while_a_commit_is_under_way_goes_with_the_next():
    line = Line()
    ledger = ledger_at(0, one=line)
    ledger.read(0, 0)
    ledger.note("one", event("one", 0))
    commit = prepared(ledger)
    ledger.read(1, 0)
    ledger.note("one", event("one", 1))
    ledger.dead_letter(letter(1))
    assert not ledger.has_output
    assert commit.events == (event("one", 0),)
    assert offsets(commit) == (1, 1)
    ledger.on_committed(commit)
    assert ledger.committed == commit.state
    late = committed(ledger)
    assert late.events == (event("one", 1),)
    assert late.dead_letters == (letter(1),)


def test_dead_letters_leave_once():
    ledger = ledger_at(0)
    ledger.read(0, 0)
    ledger.dead_letter(letter(0))
    assert ledger.has_output
    assert committed(ledger).dead_letters == (letter(0),)
    ledger.read(1, 0)
    assert committed(ledger).dead_letters == ()


def test_dead_letters_may_also_stand_in_a_streams_queue():
    ledger = ledger_at(0, one=Line())
    ticket = ledger.expect("one")
    ledger.note("one", event("one", 1))
    assert not ledger.has_output
    ledger.complete(ticket, event("one", 0), letter(0))
    commit = committed(ledger)
    assert commit.events == (event("one", 0), event("one", 1))
    assert commit.dead_letters == (letter(0),)


def test_below_what_was_read_before_nothing_goes_by_offset_again():
    restored = Restored(PartitionState(10, 8, tally=Tally(accepted=10)))
    ledger = LineLedger(restored)
    for offset in (8, 9, 10):
        ledger.read(offset, 0)
        ledger.tally(Outcome.DEAD_LETTER)
        ledger.dead_letter(letter(offset))
        assert ledger.next_offset == max(10, offset + 1)
    commit = committed(ledger)
    assert commit.dead_letters == (letter(10),)
    assert commit.state.tally == Tally(accepted=10, dead_letter=1)


def test_a_replay_resumes_no_later_than_it_has_come():
    """Streams may have records behind it that this worker has not read again yet."""
    ledger = LineLedger(Restored(PartitionState(10, 4)))
    ledger.read(4, 0)
    assert offsets(committed(ledger)) == (10, 5)


def test_a_stream_that_was_not_read_on_yet_holds_the_resume_offset():
    state = StreamState(4, 4, 0, None, SESSION)
    ledger = LineLedger(Restored(PartitionState(10, 4), {"one": state}))
    ledger.follow("one", lambda: state)
    for offset in range(4, 12):
        ledger.read(offset, 0)
    assert offsets(committed(ledger)) == (12, 4)


def test_a_forgotten_stream_is_written_down_as_such_and_may_come_back():
    line = Line()
    ledger = ledger_at(0, one=line)
    ledger.read(0, 0)
    ledger.note("one", event("one", 0))
    committed(ledger)
    ledger.forget("one")
    assert committed(ledger).streams == (("one", None),)
    ledger.read(1, 0)
    ledger.follow("one", line.state)
    ledger.complete(ledger.expect("one"), event("one", 1))
    assert committed(ledger).events == (event("one", 1),)


def test_a_stream_with_something_left_to_tell_is_not_forgotten():
    ledger = ledger_at(0, one=Line())
    ledger.read(0, 0)
    ledger.note("one", event("one", 0))
    with pytest.raises(ValueError, match="one has entries that wait"):
        ledger.forget("one")
    assert committed(ledger).events == (event("one", 0),)


def test_a_decode_that_may_end_the_worker_is_written_down_before_it_begins():
    ledger = ledger_at(0, one=Line(0))
    ledger.read(0, 0)
    ticket = ledger.expect("one")
    committed(ledger)
    ledger.record_attempt(ticket)
    assert ledger.has_output
    commit = committed(ledger, progress=False)
    assert commit.attempts == (ticket,)
    ((_, state),) = commit.streams
    assert state is not None
    assert state.session == replace(SESSION, attempts=1)
    assert not ledger.has_output


def test_only_what_belongs_to_a_session_is_attempted():
    ledger = ledger_at(0, one=Line(0, session=None))
    with pytest.raises(ValueError, match="belongs to no session"):
        ledger.record_attempt(ledger.expect("one"))


def test_a_clean_end_is_written_down():
    ledger = ledger_at(0)
    ledger.read(0, 0)
    assert not committed(ledger).state.clean
    assert committed(ledger, clean=True).state.clean
    assert ledger.prepare_all(clean=True) is None


@dataclass
class Entry:
    """What the model knows of a queued entry."""

    before: int | None  # lowest offset needed before it
    events: tuple[StreamWarning, ...]
    ticket: EntryId | None  # None: finished


@dataclass
class Modelled(Line):
    """One stream as the model sees it."""

    entries: list[Entry] = field(default_factory=list)
    published: list[StreamWarning] = field(default_factory=list)
    events: count[int] = field(default_factory=count)

    def prefix(self) -> list[Entry]:
        waits = [index for index, entry in enumerate(self.entries) if entry.ticket is not None]
        return self.entries[: waits[0] if waits else len(self.entries)]


def known(ledger: LineLedger) -> dict[str, object]:
    """All that it holds but who it asks."""
    return copy.deepcopy({name: v for name, v in vars(ledger).items() if name != "_lines"})


NAMES = st.sampled_from("abc")


class LedgerMachine(RuleBasedStateMachine):
    """A driver that keeps to the contract: per stream, positions never go back."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = {name: Modelled() for name in "abc"}
        self.ledger = ledger_at(5, **self.lines)
        self.dead: list[DeadLetter] = []
        self.buried: list[DeadLetter] = []
        self.commit: Commit | None = None
        self.prefixes: dict[str, int] = {}

    @property
    def waiting(self) -> list[tuple[Modelled, Entry]]:
        return [
            (line, entry)
            for line in self.lines.values()
            for entry in line.entries
            if entry.ticket is not None
        ]

    @rule(name=NAMES, skipped=st.integers(0, 2))
    def record(self, name: str, skipped: int) -> None:
        offset = self.ledger.next_offset + skipped
        self.ledger.read(offset, 0)
        line = self.lines[name]
        line.tail = offset if line.tail is None else line.tail
        self.ledger.mark_changed(name)

    @rule(name=NAMES, ahead=st.integers(0, 3))
    def cut(self, name: str, ahead: int) -> None:
        line = self.lines[name]
        if line.tail is None:
            return
        ticket = self.ledger.expect(name)
        line.entries.append(Entry(line.tail, (event(name, next(line.events)),), ticket))
        line.tail = min(line.tail + ahead, self.ledger.next_offset - 1)
        self.ledger.mark_changed(name)

    @rule(name=NAMES, events=st.integers(0, 2))
    def note(self, name: str, events: int) -> None:
        line = self.lines[name]
        told = tuple(event(name, next(line.events)) for _ in range(events))
        self.ledger.note(name, *told)
        line.entries.append(Entry(line.tail, told, None))

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        self.lines[name].tail = None
        self.ledger.mark_changed(name)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.waiting))
        assert entry.ticket is not None
        self.ledger.complete(entry.ticket, *entry.events)
        entry.ticket = None

    @rule()
    def bury(self) -> None:
        self.ledger.read(self.ledger.next_offset, 0)
        self.dead.append(letter(self.ledger.next_offset - 1))
        self.ledger.dead_letter(self.dead[-1])

    @precondition(lambda self: self.commit is None)
    @rule(progress=st.booleans())
    def prepare(self, *, progress: bool) -> None:
        before = self.ledger.committed
        commit = self.ledger.prepare_all(progress=progress)
        prefixes = {name: line.prefix() for name, line in self.lines.items()}
        if commit is None:
            assert not any(prefixes.values())
            assert not self.dead
            assert not progress or self.ledger.next_offset == before.next_offset
            return
        assert commit.state.next_offset == self.ledger.next_offset
        assert commit.state.resume_offset >= before.resume_offset
        assert commit.state.resume_offset == (
            self.resumes(prefixes) if progress else before.resume_offset
        )
        assert commit.dead_letters == tuple(self.dead)
        for name, prefix in prefixes.items():
            told = [e for e in commit.events if e.stream_id == name]
            assert told == [e for entry in prefix for e in entry.events]
        self.commit, self.prefixes = commit, {n: len(prefix) for n, prefix in prefixes.items()}

    def resumes(self, prefixes: dict[str, list[Entry]]) -> int:
        """R: what comes first of all that stays behind."""
        behind = []
        for name, line in self.lines.items():
            left = line.entries[len(prefixes[name]) :]
            behind.append(left[0].before if left else line.tail)
        return min((at for at in behind if at is not None), default=self.ledger.next_offset)

    @precondition(lambda self: self.commit is not None)
    @rule()
    def post(self) -> None:
        assert self.commit is not None
        self.ledger.on_committed(self.commit)
        for name, line in self.lines.items():
            taken, line.entries = (
                line.entries[: self.prefixes[name]],
                line.entries[self.prefixes[name] :],
            )
            line.published += [e for entry in taken for e in entry.events]
        self.buried += self.commit.dead_letters
        del self.dead[: len(self.commit.dead_letters)]
        assert self.ledger.committed == self.commit.state
        self.commit = None

    @rule(ahead=st.integers(1, 3), name=NAMES)
    def illegal(self, ahead: int, name: str) -> None:
        """Whatever must not be done is refused and changes nothing."""
        before = known(self.ledger)
        free = len(self.lines[name].entries) + 10_000
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
        assert known(self.ledger) == before

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle_twice(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.waiting))
        ticket = entry.ticket
        assert ticket is not None
        self.ledger.complete(ticket, *entry.events)
        entry.ticket = None
        before = known(self.ledger)
        with pytest.raises(ValueError, match="is finished already"):
            self.ledger.complete(ticket)
        assert known(self.ledger) == before

    @invariant()
    def output_is_announced(self) -> None:
        ready = any(line.prefix() for line in self.lines.values()) or bool(self.dead)
        assert self.ledger.has_output == (ready and self.commit is None)

    def teardown(self) -> None:
        """Everything ends: all events were published once, in order, and nothing is held."""
        if self.commit is not None:
            self.post()
        for _, entry in self.waiting:
            assert entry.ticket is not None
            self.ledger.complete(entry.ticket, *entry.events)
            entry.ticket = None
        for name in self.lines:
            self.end(name)
        self.prepare(progress=True)
        if self.commit is not None:
            self.post()
        assert self.ledger.prepare_all() is None
        state = self.ledger.committed
        assert state.resume_offset == state.next_offset == self.ledger.next_offset
        for name, line in self.lines.items():
            assert line.published == [event(name, i) for i in range(next(line.events))]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(examples(60), stateful_step_count=30)
