"""One input within the pipeline: its records in, its events out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from consumer.core.partition.commit import Commit
from consumer.core.partition.state import Found, PartitionState
from consumer.core.streams.records import Partition, Record
from consumer.core.streams.state import StreamState
from consumer.wakeup import Wakeup
from offline.errors import TranscriptionError
from offline.record_log import RecordLog
from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    StreamWarning,
    TranscriptFinal,
    UtteranceFailed,
)

# Records of one input, of a second each: more are cut only while there are fewer.
AHEAD: Final = 20  # that wait to be read
KEPT: Final = 300  # that may be read again: from the oldest utterance without a final on


class InputLog:
    """The partition of one input: a topic and a state in memory.

    `ended` is done once all events of the input are there; it raises TranscriptionError, or what
    ended the pipeline.
    """

    def __init__(self, partition: Partition, on_progress: Callable[[float], None]) -> None:
        """`on_progress` is called with the seconds of audio that are transcribed."""
        self.partition = partition
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.events: list[AnyEvent] = []
        self.problems: list[str] = []  # what is missing
        self.warnings: list[str] = []
        self._on_progress = on_progress
        self._records = RecordLog()
        self._room = Wakeup()
        self._state: PartitionState | None = None
        self._streams: dict[str, StreamState] = {}

    # --- records

    def append(self, records: Sequence[Record]) -> None:
        self._records.append(records)

    async def wait_for_room(self) -> None:
        """Wait until there is room for more records, or nothing is read any more."""
        while not (self._has_room or self.ended.done()):
            await self._room.wait()

    def take(self, most: int) -> list[Record]:
        """Return up to `most` records that are to be read now."""
        taken = self._records.take(most)
        self._room.notify()
        return taken

    def seek(self, offset: int) -> None:
        self._records.seek(offset)

    def pause(self) -> None:
        self._records.pause()

    # --- state

    def found(self) -> Found:
        """Return the state as of the newest commit; before the first one, nothing was read."""
        log_end = 0 if self._state is None else self._records.end
        return Found(self._state, dict(self._streams), None, log_start=0, log_end=log_end)

    def commit(self, commit: Commit) -> None:
        """Take the events and the state of a commit; drop records that no state needs."""
        self._state = commit.state
        for name, state in commit.streams:
            if state is None:
                self._streams.pop(name, None)
            else:
                self._streams[name] = state
        self._records.trim(commit.state.resume_offset)
        self._room.notify()
        for event in commit.events:
            self._take_event(event)
        if commit.dead_letter_count:
            self.fail(TranscriptionError(commit.dead_letters[0].message))

    def fail(self, error: BaseException) -> None:
        """End with this error, unless the input has ended."""
        if not self.ended.done():
            self.ended.set_exception(error)
        self._room.notify()

    def close(self) -> None:
        """Retrieve the error, which may be one of several of this input."""
        if not self.ended.cancel() and not self.ended.cancelled():
            self.ended.exception()

    @property
    def _has_room(self) -> bool:
        return self._records.unread < AHEAD and len(self._records) < KEPT

    def _take_event(self, event: AnyEvent) -> None:
        self.events.append(event)
        match event:
            case TranscriptFinal():
                self._on_progress(event.end_s)
            case UtteranceFailed():
                self.problems.append(_failure(event))
            case StreamWarning():
                self.warnings.append(event.message)
            case StreamEnded() if not self.ended.done():
                self.ended.set_result(None)


def _failure(event: UtteranceFailed) -> str:
    begin_s, end_s = event.start_sample / event.rate, event.end_sample / event.rate
    return f"the speech from {begin_s:.1f} s to {end_s:.1f} s has no text ({event.reason})"
