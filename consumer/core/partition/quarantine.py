"""Utterances that may have ended a worker: each decode of one is written down before it begins.

    below the N that was found      alone and one at a time, each try counted; after TRIES given up
    behind it, but in the log then  once N behind it is committed: a successor will suspect it

After a clean end there are none. How many workers one may end: docs/guarantees.md.
"""

from __future__ import annotations

from collections import deque

from consumer.core.partition.commit import Commit
from consumer.core.partition.ledger import Ledger
from consumer.core.partition.state import Restored
from consumer.core.streams.entries import InterimDecode, PendingUtterance
from consumer.core.streams.records import UtteranceId

MAX_ATTEMPTS = 3  # decodes of one utterance that may end a worker


class Quarantine:
    """Of one assignment of a partition."""

    def __init__(self, ledger: Ledger, restored: Restored) -> None:
        self._ledger = ledger
        self._doubtful = 0 if restored.partition.clean else restored.log_end  # records below it
        self._unwritten: list[PendingUtterance] = []
        self._queue: deque[PendingUtterance] = deque()
        self._tried: PendingUtterance | None = None  # whose decode is about to begin, or runs

    @property
    def is_idle(self) -> bool:
        return not (self._unwritten or self._queue or self._tried)

    def is_beyond(self, draft: InterimDecode) -> bool:
        """No worker before can have decoded any of it."""
        return draft.first_offset >= self._doubtful

    def includes(self, heard: PendingUtterance) -> bool:
        """Its decode may have been under way when a worker ended uncleanly."""
        return heard.source.last_offset < min(self._doubtful, self._ledger.restored_next)

    def is_unwritten(self, heard: PendingUtterance) -> bool:
        """It may have been, and a successor would not know."""
        return self._ledger.committed.next_offset <= heard.source.last_offset < self._doubtful

    def add(self, heard: PendingUtterance) -> None:
        """One of them has ended."""
        self._queue.append(heard)

    def keep(self, heard: PendingUtterance) -> None:
        """An unwritten one has ended: `post` gives it back."""
        self._unwritten.append(heard)
        self._ledger.require_commit()

    def begin(self) -> list[PendingUtterance]:
        """Write down the next try, if none is under way; those that have had all of theirs."""
        given_up = []
        while self._tried is None and self._queue:
            heard = self._queue.popleft()
            if heard.attempts >= MAX_ATTEMPTS:
                given_up.append(heard)
            else:
                self._tried = heard
                self._ledger.record_attempt(heard.entry)
        return given_up

    def settle(self, id_: UtteranceId) -> None:
        """An utterance has its text, or will have none."""
        if self._tried is not None and self._tried.id == id_:
            self._tried = None

    def on_committed(
        self, commit: Commit
    ) -> tuple[list[PendingUtterance], PendingUtterance | None]:
        """The commit has been made: those that are written now, and the one that is to be tried."""
        kept, self._unwritten = self._unwritten, []
        self._unwritten = [heard for heard in kept if self.is_unwritten(heard)]
        written = [heard for heard in kept if not self.is_unwritten(heard)]
        begins = self._tried is not None and self._tried.entry in commit.attempts
        return written, self._tried if begins else None
