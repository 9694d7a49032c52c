"""Two bugs that are common elsewhere, planted in the bench's own worker: both have to be caught.

commit-first    audio counts as done once it is read, before it has a text: a crash loses speech
publish-first   finals are published before the progress is committed: a crash repeats speech
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import StrEnum
from typing import Final

from bench.robustness.chaos.commit_traps import CommitPoint, CommitTrap
from consumer.core.partition.commit import Commit
from consumer.core.partition.ledger import Ledger, StateOf
from consumer.core.streams.records import Partition
from consumer.core.streams.state import StreamState
from consumer.interfaces import Journal, Store
from consumer.service import Factories
from schemas.transcript import TranscriptFinal

_BETWEEN_S: Final = 0.2  # finals are published, and progress is not committed


class PlantedBug(StrEnum):
    COMMIT_FIRST = "commit-first"
    PUBLISH_FIRST = "publish-first"


def with_bug(factories: Factories, bug: PlantedBug, trap: CommitTrap) -> Factories:
    """Return factories of a worker with the bug."""
    if bug is PlantedBug.COMMIT_FIRST:
        return replace(factories, ledger=CommitFirstLedger)
    return replace(factories, store=lambda store: PublishFirstStore(store, trap))


class CommitFirstLedger(Ledger):
    """Commits the state of streams as it is now, not as of their first entry that waits."""

    @property
    def has_output(self) -> bool:
        """Whether anything has changed: commits are made at once."""
        return super().has_output or (bool(self._changed) and not self.is_committing)

    def prepare(
        self,
        state_of: StateOf,
        *,
        progress: bool = True,  # noqa: ARG002 - every commit holds it
        clean: bool = False,
        force: bool = False,
    ) -> Commit | None:
        return super().prepare(state_of, clean=clean, force=force)

    def _state(self, stream_id: str, _: int, state_of: StateOf) -> StreamState | None:
        return None if stream_id in self._forgotten else state_of(stream_id)


class PublishFirstStore:
    """Opens journals that commit output and progress apart."""

    def __init__(self, store: Store, trap: CommitTrap) -> None:
        self._store = store
        self._trap = trap

    async def open(self, partition: Partition) -> Journal:
        return PublishFirstJournal(await self._store.open(partition), self._trap)


class PublishFirstJournal:
    """Commits finals in one transaction, progress in the next; a trap lies between them."""

    def __init__(self, journal: Journal, trap: CommitTrap) -> None:
        self.found = journal.found
        self.close = journal.close
        self._journal = journal
        self._trap = trap
        self._progress = journal.found.partition

    async def commit(self, commit: Commit) -> None:
        has_finals = any(isinstance(event, TranscriptFinal) for event in commit.events)
        if has_finals and self._progress is not None:
            await self._journal.commit(replace(commit, state=self._progress, streams=()))
            self._trap(CommitPoint.END_ANSWERED)
            await asyncio.sleep(_BETWEEN_S)
            commit = replace(commit, events=(), dead_letters=())
        await self._journal.commit(commit)
        self._progress = commit.state
