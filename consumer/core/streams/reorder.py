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

from consumer.core.audio.utterance import EndReason
from consumer.core.streams.chunks import Chunk
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.record_order import (
    CloseUtterance,
    EndSession,
    InsertGap,
    RejectRecord,
    ReportLoss,
    StreamStep,
    is_repeat,
    read,
)
from consumer.core.streams.records import Record
from consumer.core.streams.session import SessionStart
from consumer.core.streams.state import RecordOrder
from schemas.errors import WireError
from schemas.transcript import StreamEndReason

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
    ) -> None:
        """`start` returns the start of a session, given its first record."""
        self.order = order  # after the last record that was read
        self.steps: deque[StreamStep] = deque()
        self._start = start
        self._early: dict[int, Chunk] = {}  # held back, by `seq`
        self._read_offsets = list(decided_offsets)  # in the order in which records were read

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

    def push(self, chunk: Chunk) -> bool:
        """Read the record, or hold it back for a missing one; return False for a repeat."""
        order, seq = self.order, chunk.audio.seq
        if is_repeat(chunk, order, self._early):
            self._read_offsets.append(chunk.offset)
            return False
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
        if seq < order.next_seq:  # a restart
            self.flush()
        fresh = self._read(chunk)
        self._read_next()
        return fresh

    def flush(self) -> None:
        """Read all records that are held back: the missing ones are given up."""
        while self._early:
            self._read_early(min(self._early))
            if not self.is_live:
                self._push_again()

    def reject(self, record: Record, seq: int | None) -> None:
        """Treat the audio of an unusable record as missing; `seq` is its number, if it has one.

        The length of the gap is estimated only if no later record will state it.
        """
        order, offset = self.order, record.offset
        assert order is not None
        self._read_offsets.append(offset)
        self.close_utterance(offset, EndReason.GAP)
        if seq == order.next_seq and not order.positioned:
            to = order.end + order.last_samples
            self.steps.append(InsertGap(offset, order, to, record.timestamp_ms, estimated=True))
            order = replace(order, end=to)
        self.order = order
        self._count(seq)
        self._read_next()

    def skip(self, first_offset: int, last_offset: int) -> None:
        """Skip records that cannot be read."""
        self._read_offsets.append(first_offset)
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

    def _read(self, chunk: Chunk) -> bool:
        """Queue the steps of the next record; return whether there are any."""
        self.order, steps = read(chunk, self.order, self._start)
        self.steps.extend(steps)
        self._read_offsets.append(chunk.offset)
        return bool(steps)

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
                self.push(chunk)

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
            self._read_offsets.append(chunk.offset)
            self._count(chunk.audio.seq)

    def _count(self, seq: int | None) -> None:
        """Count an unusable record as the one of its number."""
        order = self.order
        if order is not None and seq is not None and seq == order.next_seq:
            self.order = replace(order, next_seq=seq + 1)
