"""What a system published while a scenario was played to it, whichever system it was. Values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, TypeVar

from bench.live.conversations import Conversation, LiveScenario
from schemas.transcript import TranscriptFinal, TranscriptPartial, UtteranceStarted


@dataclass(frozen=True, slots=True)
class ReceivedFinal:
    """One final, when a read_committed reader received it."""

    stream_id: str
    start_s: float  # of its audio, in the stream
    end_s: float
    text: str
    at_s: float  # monotonic
    event: TranscriptFinal | None = None  # of streamscribe only

    @classmethod
    def of(cls, event: TranscriptFinal, at_s: float) -> Self:
        return cls(event.stream_id, event.start_s, event.end_s, event.text, at_s, event)

    @property
    def is_forced(self) -> bool:
        """Whether its utterance was cut at the longest length, amid speech."""
        return self.event is not None and self.event.end_reason == "max_length"


@dataclass(frozen=True, slots=True)
class ReceivedPartial:
    """One partial, when a reader received it."""

    at_s: float  # monotonic
    event: TranscriptPartial


@dataclass(frozen=True, slots=True)
class ReceivedOnset:
    """The start of an utterance, when a reader received it."""

    at_s: float  # monotonic
    event: UtteranceStarted


@dataclass(frozen=True, slots=True)
class ReceivedEnd:
    """The end of a stream, after which none of its finals follows."""

    stream_id: str


Received: TypeAlias = ReceivedFinal | ReceivedPartial | ReceivedOnset | ReceivedEnd
R = TypeVar("R", ReceivedFinal, ReceivedPartial, ReceivedOnset)


@dataclass(frozen=True, slots=True)
class PlaybackClock:
    """When each moment of the streams is published."""

    start_s: float  # sample 0; monotonic
    pace: float  # seconds of audio a second

    def at_s(self, seconds: float) -> float:
        """Return the monotonic time of a moment of a stream, given in seconds."""
        return self.start_s + seconds / self.pace


@dataclass(frozen=True, slots=True)
class LagSample:
    """What a worker's metrics and the operating system show at one moment."""

    at_s: float  # monotonic
    lag_s: float  # the greatest of all partitions
    resident_mb: float  # megabytes of 10^6 bytes


@dataclass(frozen=True, slots=True)
class Observation:
    """One scenario played to one system."""

    scenario: LiveScenario
    clock: PlaybackClock
    received: Sequence[Received]  # in order of arrival
    ended: frozenset[str]  # streams of which no final follows
    until_s: float  # monotonic; when reading ended
    cpu_s: float  # of the worker, all threads
    late_s: float  # the longest that a chunk was published after its time
    lag_samples: Sequence[LagSample] = ()  # in order; of streamscribe only


Observed: TypeAlias = dict[str, dict[str, list[Observation]]]  # by system, by scenario; rounds


def received(observations: Iterable[Observation], kind: type[R]) -> list[R]:
    """Return all that was received of one type."""
    return [
        each
        for observation in observations
        for each in observation.received
        if isinstance(each, kind)
    ]


def by_stream(
    observations: Iterable[Observation],
) -> Iterator[tuple[Observation, Conversation, list[ReceivedFinal]]]:
    """Yield every conversation with its finals in the order of its audio."""
    for observation in observations:
        finals = sorted(received([observation], ReceivedFinal), key=lambda final: final.start_s)
        for conversation in observation.scenario.conversations:
            own = [final for final in finals if final.stream_id == conversation.stream_id]
            yield observation, conversation, own
