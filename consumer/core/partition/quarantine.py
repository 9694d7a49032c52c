"""The quarantine: utterances whose decode may have ended a worker, and how they are decoded.

    last record below the restored N      suspect: decoded alone, one at a time, each attempt
                                          committed before it begins, given up after MAX_ATTEMPTS
    last record from N to the log's end   decoded once N after it is committed, so that the next
    as restored                           owner would treat it as suspect

After a clean end there is no quarantine. docs/guarantees.md states how many workers one utterance
may end.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from consumer.core.partition.commit import Commit
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import Restored
from consumer.core.partition.utterance_state import UtteranceMove, UtteranceRecord
from consumer.core.streams.entries import InterimDecode, PendingUtterance

MAX_ATTEMPTS: Final = 3  # decodes of one utterance that may end a worker


class Quarantine:
    """The suspects of one assignment of a partition."""

    def __init__(self, ledger: Ledger, restored: Restored) -> None:
        self._ledger = ledger
        self._suspect_end = 0 if restored.partition.clean else restored.log_end
        self._uncommitted: list[UtteranceRecord] = []
        self._queue: deque[UtteranceRecord] = deque()
        self._on_trial: UtteranceRecord | None = None  # with an attempt recorded or under way

    def is_beyond(self, decode: InterimDecode) -> bool:
        """Return whether no earlier worker can have decoded the open utterance."""
        return decode.first_offset >= self._suspect_end

    def move_of(self, pending: PendingUtterance) -> UtteranceMove | None:
        """Return the move for a closed utterance in the suspect range, or None for another."""
        last_offset = pending.source.last_offset
        if last_offset < min(self._suspect_end, self._ledger.restored_next):
            return UtteranceMove.CLOSED_SUSPECT
        if self._ledger.committed.next_offset <= last_offset < self._suspect_end:
            return UtteranceMove.CLOSED_UNCOMMITTED
        return None

    def add_suspect(self, record: UtteranceRecord) -> None:
        self._queue.append(record)

    def add_uncommitted(self, record: UtteranceRecord) -> None:
        """Keep the record until N after it is committed (`on_committed`)."""
        self._uncommitted.append(record)
        self._ledger.require_commit()

    def begin(self) -> list[UtteranceRecord]:
        """Record the next attempt unless one is under way; return records without attempts left."""
        given_up = []
        while self._on_trial is None and self._queue:
            record = self._queue.popleft()
            assert record.pending is not None
            assert record.entry is not None
            if record.pending.attempts >= MAX_ATTEMPTS:
                given_up.append(record)
                continue
            record.advance(UtteranceMove.ATTEMPT_RECORDED)
            self._on_trial = record
            self._ledger.record_attempt(record.entry)
        return given_up

    def settle(self, record: UtteranceRecord) -> None:
        """End the attempt at the utterance: it has its text, or was given up."""
        if self._on_trial is record:
            self._on_trial = None

    def on_committed(self, commit: Commit) -> tuple[list[UtteranceRecord], UtteranceRecord | None]:
        """Return the records whose N is committed now, and the one whose attempt may begin."""
        kept, self._uncommitted = self._uncommitted, []
        committed: list[UtteranceRecord] = []
        for record in kept:
            assert record.pending is not None
            unsuspected = self.move_of(record.pending) is None
            (committed if unsuspected else self._uncommitted).append(record)
        trial = self._on_trial
        begins = trial is not None and trial.entry in commit.attempts
        return committed, trial if begins else None
