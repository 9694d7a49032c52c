"""Unexpected exceptions, each contained to the stream that it was raised for.

Such an exception may leave the stream half changed, so the task is dropped and the partition is
opened again from its committed state. Records of the stream that are not decided, up to the newest
record of the partition, are dead letters; with the first one after them the stream begins anew. A
stream with MAX_FAULTS is excluded for as long as this worker owns the partition.

An exception that no stream is accountable for is not contained: it ends the process.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.state import StreamState
from schemas.audio import StreamOptions

MAX_FAULTS: Final = 3  # of one stream, before it is excluded for good
EXCLUDED: Final = (
    "an unexpected error ended the stream: report the traceback in the worker's log, then redrive "
    "this record"
)


class StreamFault(Exception):  # noqa: N818 - named by what happened
    """An unexpected exception, its cause, that was raised for one stream."""

    def __init__(self, stream_id: str, next_offset: int) -> None:
        """`next_offset`: N of the partition."""
        super().__init__(stream_id)
        self.stream_id = stream_id
        self.next_offset = next_offset


class Attribution(NamedTuple):
    """Raises `StreamFault` in place of any exception but a lack of memory."""

    stream_id: str
    next_offset: int  # N of the partition

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, (StreamFault, MemoryError)):
            raise StreamFault(self.stream_id, self.next_offset) from error


def attributed_to(stream_id: str, next_offset: int) -> Attribution:
    """Return a context that attributes exceptions to the stream; `next_offset`: N."""
    return Attribution(stream_id, next_offset)


class Exclusions:
    """Streams of one partition that had a fault, each with the offset from which it is served."""

    def __init__(self) -> None:
        self._faults: Counter[str] = Counter()
        self._served_from: dict[str, int] = {}

    def add(self, stream_id: str, next_offset: int) -> None:
        """Exclude the records of a stream below `next_offset`, or all of them after MAX_FAULTS."""
        self._faults[stream_id] += 1
        is_final = self._faults[stream_id] >= MAX_FAULTS
        self._served_from[stream_id] = sys.maxsize if is_final else next_offset

    def excludes(self, stream_id: str, offset: int) -> bool:
        return offset < self._served_from.get(stream_id, 0)


class ExcludedStreams:
    """The exclusions of one task. Their restored streams are not served."""

    def __init__(self, exclusions: Exclusions, streams: Mapping[str, StreamState]) -> None:
        self._exclusions = exclusions
        self._restored = {
            name: state
            for name, state in streams.items()
            if exclusions.excludes(name, state.read_offset - 1)
        }
        self._options = {
            name: state.session.options
            for name, state in self._restored.items()
            if state.session is not None
        }
        self._letters: list[DeadLetter] = []

    def __contains__(self, stream_id: str) -> bool:
        """Return whether the restored stream is not served."""
        return stream_id in self._restored

    def excludes(self, names: Collection[str], offset: int) -> bool:
        """Return whether a record that may belong to these streams is excluded."""
        return any(self._exclusions.excludes(name, offset) for name in names)

    def options(self, names: Collection[str], offset: int) -> StreamOptions | None:
        """Return the options of the session that an excluded record may belong to, or None."""
        excluded = (name for name in names if self._exclusions.excludes(name, offset))
        return next((self._options[name] for name in excluded if name in self._options), None)

    def has_undecided(self, names: Collection[str], offset: int) -> bool:
        """Return whether an excluded record read by an earlier task was not decided."""
        states = (self._restored[name] for name in names if name in self._restored)
        return any(
            offset >= state.resume_offset and offset not in state.decided_offsets
            for state in states
        )

    def keep(self, letter: DeadLetter) -> None:
        """Keep the dead letter of such a record until the state of its stream is deleted."""
        self._letters.append(letter)

    def take(self) -> tuple[list[str], list[DeadLetter]]:
        """Return, once, the restored streams that are not served, and the letters kept."""
        taken = [*self._restored], self._letters
        self._restored, self._letters = {}, []
        return taken
