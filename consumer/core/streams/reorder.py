"""The order of one stream's records: repeats, gaps, reordered records, restarts.

The meaning of a record depends on those before it, so numbered records that arrive early are held
back in a window until the missing one arrives or is given up. `record_order.py` decides what the
next record means; its steps wait here until the stream can take them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from consumer.core.audio.format_hints import Hint
from consumer.core.audio.utterance import EndReason
from consumer.core.streams.arrival import Arrival, arrival
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.record_order import (
    CloseUtterance,
    EndSession,
    InsertGap,
    RejectRecord,
    ReportLoss,
    StreamStep,
    read,
    warn_once,
)
from consumer.core.streams.records import Record, StatedHeaders
from consumer.core.streams.repeats import RecentRecords, digest, number
from consumer.core.streams.session import SessionStart
from consumer.core.streams.state import Digest, RecordOrder
from consumer.core.streams.wraparound import as_stated, unwrapped, unwrapped_seq
from schemas.errors import Reason, WireError
from schemas.transcript import StreamEndReason

SECOND_PUBLISHER: Final = Hint(
    "publisher",
    "second publisher: another one sends records of this stream id; they are dead letters, give "
    "each an id of its own",
)
REORDER_WINDOW: Final = 8  # records that are held back for a missing one


class ReorderBuffer:
    """Records in, steps out. `push` raises `WireError` for a record that contradicts its session.

    The stream takes `steps` from the left, each once all audio before it is scored.
    """

    def __init__(
        self,
        start: Callable[[Chunk], SessionStart],
        order: RecordOrder | None,
        decided_offsets: tuple[int, ...],
        recent: tuple[Digest, ...],
    ) -> None:
        """`start` returns the start of a session, given its first record.

        The others are of the state to resume from.
        """
        self.order = order  # after the last record that was read
        self.steps: deque[StreamStep] = deque()
        self._start = start
        self._early: dict[int, Chunk] = {}  # held back, by `seq`
        self._read_offsets = list(decided_offsets)  # in the order in which records were read
        self._recent = RecentRecords(recent)

    @property
    def is_live(self) -> bool:
        """Whether a session is open after the steps."""
        return self.order is not None and not self.order.over

    @property
    def holds_back(self) -> bool:
        return bool(self._early)

    def held_offsets(self) -> list[int]:
        """Return the offsets of the records that are held back."""
        return [chunk.offset for chunk in self._early.values()]

    def decided_offsets(self, first: int | None, needed: int | None) -> tuple[int, ...]:
        """Return the offsets above `needed` of records read before the `first` undecided one."""
        read_offsets = self._read_offsets
        index = read_offsets.index(first) if first in read_offsets else len(read_offsets)
        decided = [] if needed is None else [each for each in read_offsets[:index] if each > needed]
        self._read_offsets = [*decided, *read_offsets[index:]]
        return tuple(decided)

    def recent_before(self, first: int | None) -> tuple[Digest, ...]:
        """Return the digests of the records read before the `first` undecided one."""
        return self._recent.before(first)

    def push(self, stated: Chunk) -> bool:
        """Read the record, or hold it back for a missing one; return False for a repeat."""
        chunk = unwrapped(stated, self.order)
        how = self._arrival(chunk)
        match how:
            case Arrival.NEXT:
                return self._push_next(chunk)
            case Arrival.RESTART:
                self.flush()
                fresh = self._read(stated, how)
                self._read_next()
                return fresh
            case Arrival.REPEAT:
                self._repeat(chunk)
                return False
            case Arrival.LATE | Arrival.CONFLICT:
                raise self._refused(chunk, how)

    def _arrival(self, chunk: Chunk) -> Arrival:
        held = None if chunk.audio.seq is None else self._early.get(chunk.audio.seq)
        if held is None or chunk.audio.run != held.audio.run:
            return arrival(chunk, self.order, self._recent)
        return Arrival.REPEAT if digest(held) == digest(chunk) else Arrival.CONFLICT

    def _repeat(self, chunk: Chunk) -> None:
        """Note a repeat; the first records of the session, repeated, may begin a restart."""
        order, stated = self.order, number(chunk)
        assert order is not None
        assert stated is not None
        if stated in {order.first_number, order.repeated_to}:
            after = stated + (1 if chunk.audio.seq is not None else len(chunk.samples))
            self.order = replace(order, repeated_to=after)
        self._note(chunk.offset, digest(chunk))

    def _refused(self, chunk: Chunk, how: Arrival) -> WireError:
        """Return the error of a record that has no place in the session, which goes on."""
        order, stated = self.order, number(chunk)
        assert order is not None
        if how is Arrival.CONFLICT:
            self.order = warn_once(order, SECOND_PUBLISHER, chunk.offset, self.steps.append)
        self._note(chunk.offset)
        if how is Arrival.LATE:
            return WireError(Reason.LATE, f"record {stated} arrived after it was given up")
        return WireError(
            Reason.SECOND_PUBLISHER,
            f"number {stated} of run {chunk.audio.run} is of another publisher than the session: "
            "give each a stream id of its own, then redrive this record",
        )

    def _push_next(self, chunk: Chunk) -> bool:
        order, seq = self.order, chunk.audio.seq
        if order is None or order.over or order.uncertain or None in {seq, order.next_seq}:
            self.flush()
            return self._read(chunk)
        assert seq is not None
        assert order.next_seq is not None
        if seq > order.next_seq and chunk.audio.start != order.end:
            self._early[seq] = chunk
            if len(self._early) == REORDER_WINDOW:
                self._read_early(min(self._early))
                self._read_next()
            return True
        fresh = self._read(chunk)
        self._read_next()
        return fresh

    def flush(self) -> None:
        """Read all records that are held back: the missing ones are given up."""
        while self._early:
            self._read_early(min(self._early))
            if not self.is_live:
                self._push_again()

    def reject(self, record: Record, stated: StatedHeaders) -> None:
        """Treat the audio of an unusable record as missing; its `end` ends the session.

        The length of the gap is estimated only if no later record will state it.
        """
        order, offset = self.order, record.offset
        assert order is not None
        seq = unwrapped_seq(stated.seq, order)
        if self._read_offsets and self._read_offsets[-1] == offset:
            return  # refused by `push`: nothing is missing
        self._note(offset)
        self.close_utterance(offset, EndReason.GAP)
        if seq == order.next_seq and not order.positioned:
            to = order.end + order.last_samples
            self.steps.append(InsertGap(offset, order, to, record.timestamp_ms, estimated=True))
            order = replace(order, end=to)
        self.order = order
        if stated.end and seq in {None, order.next_seq}:
            self.flush()
            self.end_session(offset, StreamEndReason.END)
        self._count(seq)
        self._read_next()

    def skip(self, first_offset: int, last_offset: int) -> None:
        """Skip records that cannot be read."""
        self._note(first_offset)
        self.close_utterance(first_offset, EndReason.GAP)
        self.report_loss(first_offset, first_offset, last_offset)

    def report_loss(self, offset: int, first_offset: int, last_offset: int) -> None:
        self.steps.append(ReportLoss(offset, self.order, first_offset, last_offset))

    def close_utterance(self, offset: int, reason: EndReason) -> None:
        self.steps.append(CloseUtterance(offset, self.order, reason))

    def end_session(self, offset: int, reason: StreamEndReason) -> None:
        assert self.order is not None
        self.steps.append(EndSession(offset, self.order, reason))
        self.order = replace(self.order, over=True)

    def _read(self, chunk: Chunk, how: Arrival = Arrival.NEXT) -> bool:
        """Queue the steps of the next record; return whether there are any."""
        self.order, steps = read(chunk, self.order, self._start, how)
        self.steps.extend(steps)
        self._note(chunk.offset, digest(chunk))
        return bool(steps)

    def _note(self, offset: int, read: Digest | None = None) -> None:
        """Note that the record at `offset` was read."""
        self._read_offsets.append(offset)
        self._recent.append(offset, read)

    def _read_next(self) -> None:
        """Read the held back records that follow the one just read."""
        while (order := self.order) and self._early and not order.over:
            if order.next_seq not in self._early:
                return
            self._read_early(order.next_seq)
        self._push_again()

    def _push_again(self) -> None:
        """Push held back records again, by offset: after a session's end its numbers are void."""
        early, self._early = self._early.values(), {}
        for chunk in sorted(early, key=lambda chunk: chunk.offset):
            with self._rejecting(chunk):
                self.push(as_stated(chunk))

    def _read_early(self, seq: int) -> None:
        chunk = self._early.pop(seq)
        with self._rejecting(chunk):
            self._read(chunk)

    @contextmanager
    def _rejecting(self, chunk: Chunk) -> Iterator[None]:
        """Queue the dead letter of a held back record that contradicts its session."""
        try:
            yield
        except WireError as error:
            letter = DeadLetter(chunk.record, error.reason, str(error))
            self.close_utterance(chunk.offset, EndReason.GAP)
            self.steps.append(RejectRecord(chunk.offset, self.order, letter))
            self._note(chunk.offset)
            self._count(chunk.audio.seq)

    def _count(self, seq: int | None) -> None:
        """Count an unusable record as the one of its number."""
        order = self.order
        if order is not None and seq is not None and seq == order.next_seq:
            self.order = replace(order, next_seq=seq + 1)
