"""The two mistakes that others make, put into the bench's own worker to see that they are caught.

commit-first    what was read counts as done before it is transcribed: a crash loses speech
publish-first   finals go out before progress is written down: a crash repeats speech
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Final

from bench.chaos.commit_points import Trap
from consumer.core.partition.commit import Commit
from consumer.core.partition.ledger import Ledger
from consumer.core.streams.state import StreamState
from consumer.kafka.store import KafkaJournal

_BETWEEN_S: Final = 0.2  # finals are out, and progress is not


class Mistake(StrEnum):
    COMMIT_FIRST = "commit-first"
    PUBLISH_FIRST = "publish-first"


def install(mistake: Mistake, trap: Trap) -> None:
    """Make it in this process from now on; the trap closes only where it does harm."""
    if mistake is Mistake.COMMIT_FIRST:
        setattr(Ledger, "_state", _state_as_of_now)  # noqa: B010 - not the product's own way
        setattr(Ledger, "has_output", property(_has_moved))  # noqa: B010
    else:
        setattr(KafkaJournal, "commit", _committing_apart(trap))  # noqa: B010


def _state_as_of_now(ledger: Ledger, stream_id: str, taken: int) -> StreamState | None:  # noqa: ARG001
    """Behind utterances that still wait for their texts."""
    if stream_id in ledger._forgotten:  # noqa: SLF001
        return None
    return ledger._followed[stream_id]()  # noqa: SLF001


def _has_moved(ledger: Ledger) -> bool:
    """Commit as soon as anything was read."""
    waits = ledger._ready or ledger._dead_letters or ledger._changed  # noqa: SLF001
    return bool(waits) and not ledger.is_committing


def _committing_apart(trap: Trap) -> Callable[[KafkaJournal, Commit], Awaitable[None]]:
    async def commit_apart(journal: KafkaJournal, commit: Commit) -> None:
        """Output in one transaction, progress in the next."""
        outputs = journal._outputs(commit)  # noqa: SLF001
        state = journal._topics.state  # noqa: SLF001
        if events := [output for output in outputs if output.topic != state]:
            await journal._producer.write(events)  # noqa: SLF001
            await asyncio.sleep(_BETWEEN_S)
        with trap.held_open():
            await journal._producer.write([o for o in outputs if o.topic == state])  # noqa: SLF001

    return commit_apart
