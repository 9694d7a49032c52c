"""What is being spoken: the newest partial of every stream's open utterance. Pure.

Partials come by another topic than finals, so a partial may come after the final of its utterance,
and may be lost or repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

from schemas.transcript import (
    AnyEvent,
    StreamEnded,
    TranscriptFinal,
    TranscriptPartial,
    UtteranceFailed,
    UtteranceStarted,
)

SILENT_S: Final = 10.0  # without a partial: the utterance was no speech, or its final is lost
_LATE_S: Final = 60.0  # a partial that comes this long after its final is not recognised

InterimEvent: TypeAlias = TranscriptPartial | UtteranceStarted


@dataclass(frozen=True, slots=True)
class _NewestInterim:
    event: InterimEvent
    at: float  # when it came, in monotonic seconds


@dataclass(frozen=True, slots=True)
class _Closed:
    session_id: str
    utterance: float  # this and all before it have their finals; inf: the session has ended
    at: float


class OpenUtterances:
    """The newest interim event of each stream, until its final comes."""

    def __init__(self) -> None:
        self._open: dict[str, _NewestInterim] = {}
        self._closed: dict[str, _Closed] = {}

    def __iter__(self) -> Iterator[InterimEvent]:
        """Iterate in the order in which the streams' utterances began."""
        return (each.event for each in self._open.values())

    def of(self, stream: str) -> InterimEvent | None:
        """Return the newest event of a stream's open utterance."""
        found = self._open.get(stream)
        return found.event if found else None

    def update(self, event: AnyEvent, now: float) -> None:
        """Take the next event of either topic at `now`, in monotonic seconds."""
        match event:
            case TranscriptPartial() | UtteranceStarted():
                if self._is_newer(event):
                    self._open[event.stream_id] = _NewestInterim(event, now)
            case TranscriptFinal(utterance=utterance) | UtteranceFailed(utterance=utterance):
                self._close(event, utterance, now)
            case StreamEnded():
                self._close(event, inf, now)
            case _:
                pass

    def expire(self, now: float) -> None:
        """Forget utterances without a partial for `SILENT_S`."""
        self._open = {s: each for s, each in self._open.items() if now - each.at < SILENT_S}
        self._closed = {s: each for s, each in self._closed.items() if now - each.at < _LATE_S}

    def _is_newer(self, event: InterimEvent) -> bool:
        closed = self._closed.get(event.stream_id)
        if closed and closed.session_id == event.session_id and event.utterance <= closed.utterance:
            return False
        shown = self.of(event.stream_id)
        if shown is None or shown.session_id != event.session_id:
            return True
        return _order(event) > _order(shown)

    def _close(self, event: AnyEvent, utterance: float, now: float) -> None:
        self._closed[event.stream_id] = _Closed(event.session_id, utterance, now)
        shown = self.of(event.stream_id)
        if shown and (shown.session_id != event.session_id or shown.utterance <= utterance):
            del self._open[event.stream_id]


def _order(event: InterimEvent) -> tuple[int, int]:
    revision = event.revision if isinstance(event, TranscriptPartial) else -1
    return event.utterance, revision
