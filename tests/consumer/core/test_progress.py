from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import count

import pytest
from builders import PARTITION
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumer.core.progress import Commit, DeadLetter, Ledger, Position, Ticket
from consumer.core.values import Record
from schemas.transcript import StreamWarning


def event(stream_id: str, index: int) -> StreamWarning:
    return StreamWarning(stream_id=stream_id, session_id="0-0", index=index, time_ms=0, message="")


def letter(offset: int) -> DeadLetter:
    return DeadLetter(Record(PARTITION, offset, 0, b"s", b"", ()), "bad_header", "why")


def ledger_at(next_offset: int) -> Ledger:
    return Ledger(PARTITION, 1, next_offset)


def prepared(ledger: Ledger) -> Commit:
    commit = ledger.prepare()
    assert commit is not None
    return commit


def committed(ledger: Ledger) -> Commit:
    commit = prepared(ledger)
    ledger.post(commit)
    return commit


def test_nothing_read_nothing_to_commit():
    assert ledger_at(7).prepare() is None
    assert not ledger_at(7).has_output


def test_a_record_that_leaves_nothing_open_moves_both_watermarks():
    ledger = ledger_at(7)
    ledger.read(7)
    commit = committed(ledger)
    assert commit.is_empty
    assert (commit.next_offset, commit.resume_offset) == (8, 8)
    assert ledger.prepare() is None


def test_offsets_that_kafka_skips_are_passed():
    ledger = ledger_at(0)
    ledger.read(5)
    assert committed(ledger).next_offset == 6


def test_undecided_audio_holds_the_resume_offset():
    ledger = ledger_at(0)
    for offset in range(10):
        ledger.read(offset)
    ledger.keep_from("one", Position(3, 120))
    ledger.keep_from("two", Position(6, 0))
    commit = committed(ledger)
    assert (commit.next_offset, commit.resume_offset) == (10, 3)
    ledger.keep_from("one", None)
    assert committed(ledger).resume_offset == 6


def test_events_wait_for_the_entry_before_them():
    ledger = ledger_at(0)
    ledger.read(0)
    first = ledger.expect("one", Position(0, 0))
    second = ledger.expect("one", Position(0, 500))
    ledger.settle(second, event("one", 1))
    assert not ledger.has_output
    assert committed(ledger).resume_offset == 0
    ledger.settle(first, event("one", 0))
    assert ledger.has_output
    commit = committed(ledger)
    assert commit.events == (event("one", 0), event("one", 1))
    assert commit.resume_offset == 1


def test_one_stream_does_not_wait_for_another():
    ledger = ledger_at(0)
    ledger.read(0)
    ledger.expect("slow", Position(0, 0))
    ledger.read(1)
    ledger.note("quick", Position(1, 0), event("quick", 0))
    commit = committed(ledger)
    assert commit.events == (event("quick", 0),)
    assert commit.resume_offset == 0


def test_a_commit_that_is_never_made_is_the_same_when_tried_again():
    ledger = ledger_at(0)
    ledger.read(0)
    ledger.note("one", Position(0, 0), event("one", 0))
    commit = prepared(ledger)
    ledger.read(1)
    ledger.note("one", Position(1, 0), event("one", 1))
    ledger.bury(letter(1))
    assert not ledger.has_output
    assert commit.events == (event("one", 0),)
    assert (commit.next_offset, commit.resume_offset) == (1, 1)
    ledger.post(commit)
    assert (ledger.committed_next, ledger.committed_resume) == (1, 1)
    late = committed(ledger)
    assert late.events == (event("one", 1),)
    assert late.dead_letters == (letter(1),)


def test_dead_letters_leave_once():
    ledger = ledger_at(0)
    ledger.read(0)
    ledger.bury(letter(0))
    assert ledger.has_output
    assert committed(ledger).dead_letters == (letter(0),)
    ledger.read(1)
    assert committed(ledger).dead_letters == ()


def test_an_ended_stream_is_forgotten_and_may_come_back():
    ledger = ledger_at(0)
    ledger.read(0)
    ledger.keep_from("one", Position(0, 0))
    ledger.note("one", Position(0, 0), event("one", 0))
    ledger.keep_from("one", None)
    committed(ledger)
    ledger.read(1)
    ticket = ledger.expect("one", Position(1, 0))
    ledger.settle(ticket, event("one", 1))
    assert committed(ledger).events == (event("one", 1),)


def test_an_expected_entry_may_turn_out_to_say_nothing():
    ledger = ledger_at(0)
    ledger.read(0)
    ledger.settle(ledger.expect("one", Position(0, 0)))
    commit = committed(ledger)
    assert commit.is_empty
    assert commit.resume_offset == 1


@dataclass
class Entry:
    """What the model knows of a queued entry."""

    start: int  # offset
    events: tuple[StreamWarning, ...]
    ticket: Ticket | None  # None: finished


@dataclass
class Line:
    """One stream as the model sees it."""

    tail: int | None = None
    entries: list[Entry] = field(default_factory=list)
    published: list[StreamWarning] = field(default_factory=list)
    events: count[int] = field(default_factory=count)

    def prefix(self) -> list[Entry]:
        waits = [index for index, entry in enumerate(self.entries) if entry.ticket is not None]
        return self.entries[: waits[0] if waits else len(self.entries)]


NAMES = st.sampled_from("abc")


class LedgerMachine(RuleBasedStateMachine):
    """A driver that keeps to the contract: per stream, positions never go back."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = ledger_at(5)
        self.lines = {name: Line() for name in "abc"}
        self.dead: list[DeadLetter] = []
        self.buried: list[DeadLetter] = []
        self.commit: Commit | None = None
        self.prefixes: dict[str, int] = {}

    @property
    def waiting(self) -> list[tuple[Line, Entry]]:
        return [
            (line, entry)
            for line in self.lines.values()
            for entry in line.entries
            if entry.ticket is not None
        ]

    @rule(name=NAMES, skipped=st.integers(0, 2))
    def record(self, name: str, skipped: int) -> None:
        offset = self.ledger.next_offset + skipped
        self.ledger.read(offset)
        line = self.lines[name]
        line.tail = offset if line.tail is None else line.tail
        self.ledger.keep_from(name, Position(line.tail, 0))

    @rule(name=NAMES, ahead=st.integers(0, 3))
    def cut(self, name: str, ahead: int) -> None:
        line = self.lines[name]
        if line.tail is None:
            return
        ticket = self.ledger.expect(name, Position(line.tail, 0))
        line.entries.append(Entry(line.tail, (event(name, next(line.events)),), ticket))
        line.tail = min(line.tail + ahead, self.ledger.next_offset - 1)
        self.ledger.keep_from(name, Position(line.tail, 0))

    @rule(name=NAMES, events=st.integers(0, 2))
    def note(self, name: str, events: int) -> None:
        line = self.lines[name]
        start = self.ledger.next_offset if line.tail is None else line.tail
        told = tuple(event(name, next(line.events)) for _ in range(events))
        self.ledger.note(name, Position(start, 0), *told)
        line.entries.append(Entry(start, told, None))

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        self.lines[name].tail = None
        self.ledger.keep_from(name, None)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.waiting))
        assert entry.ticket is not None
        self.ledger.settle(entry.ticket, *entry.events)
        entry.ticket = None

    @rule()
    def bury(self) -> None:
        self.ledger.read(self.ledger.next_offset)
        self.dead.append(letter(self.ledger.next_offset - 1))
        self.ledger.bury(self.dead[-1])

    @precondition(lambda self: self.commit is None)
    @rule()
    def prepare(self) -> None:
        commit = self.ledger.prepare()
        prefixes = {name: line.prefix() for name, line in self.lines.items()}
        left = [e.start for n, line in self.lines.items() for e in line.entries[len(prefixes[n]) :]]
        left += [line.tail for line in self.lines.values() if line.tail is not None]
        moved = any(prefixes.values()) or self.dead
        progress = (self.ledger.next_offset, min(left, default=self.ledger.next_offset))
        before = (self.ledger.committed_next, self.ledger.committed_resume)
        if commit is None:
            assert not moved
            assert progress == before
            return
        assert (commit.next_offset, commit.resume_offset) == progress
        assert commit.resume_offset >= before[1]
        assert commit.dead_letters == tuple(self.dead)
        for name, prefix in prefixes.items():
            told = [e for e in commit.events if e.stream_id == name]
            assert told == [e for entry in prefix for e in entry.events]
        self.commit, self.prefixes = commit, {n: len(prefix) for n, prefix in prefixes.items()}

    @precondition(lambda self: self.commit is not None)
    @rule()
    def post(self) -> None:
        assert self.commit is not None
        self.ledger.post(self.commit)
        for name, line in self.lines.items():
            taken, line.entries = (
                line.entries[: self.prefixes[name]],
                line.entries[self.prefixes[name] :],
            )
            line.published += [e for entry in taken for e in entry.events]
        self.buried += self.commit.dead_letters
        del self.dead[: len(self.commit.dead_letters)]
        assert self.ledger.committed_next == self.commit.next_offset
        assert self.ledger.committed_resume == self.commit.resume_offset
        self.commit = None

    @rule(ahead=st.integers(1, 3), name=NAMES)
    def illegal(self, ahead: int, name: str) -> None:
        """Whatever must not be done is refused and changes nothing."""
        before = copy.deepcopy(vars(self.ledger))
        free = len(self.lines[name].entries) + 10_000
        with pytest.raises(ValueError, match="was read before"):
            self.ledger.read(self.ledger.next_offset - ahead)
        with pytest.raises(ValueError, match="names no entry"):
            self.ledger.settle(Ticket(name, free), event(name, 0))
        with pytest.raises(ValueError, match="names no entry"):
            self.ledger.settle(Ticket("unknown", 0), event("unknown", 0))
        with pytest.raises(ValueError, match="not the open commit"):
            self.ledger.post(Commit(PARTITION, 1, (), (), 0, 0, ()))
        if self.commit is not None:
            with pytest.raises(ValueError, match="post it first"):
                self.ledger.prepare()
        assert vars(self.ledger) == before

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle_twice(self, data: st.DataObject) -> None:
        _, entry = data.draw(st.sampled_from(self.waiting))
        ticket = entry.ticket
        assert ticket is not None
        self.ledger.settle(ticket, *entry.events)
        entry.ticket = None
        before = copy.deepcopy(vars(self.ledger))
        with pytest.raises(ValueError, match="is settled already"):
            self.ledger.settle(ticket)
        assert vars(self.ledger) == before

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
            self.ledger.settle(entry.ticket, *entry.events)
            entry.ticket = None
        for name in self.lines:
            self.end(name)
        self.prepare()
        if self.commit is not None:
            self.post()
        assert self.ledger.prepare() is None
        assert self.ledger.committed_resume == self.ledger.committed_next == self.ledger.next_offset
        for name, line in self.lines.items():
            assert line.published == [event(name, i) for i in range(next(line.events))]


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
