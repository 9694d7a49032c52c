"""What a system published while a scenario was played to it. Values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from bench.live.conversations import Conversation, LiveScenario
from schemas.transcript import AnyEvent, Event, TranscriptFinal, TranscriptPartial

E_co = TypeVar("E_co", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class ReceivedEvent(Generic[E_co]):
    """An event, and when a read_committed reader received it."""

    at_s: float  # monotonic
    event: E_co


ReceivedFinal: TypeAlias = ReceivedEvent[TranscriptFinal]
ReceivedPartial: TypeAlias = ReceivedEvent[TranscriptPartial]


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
    received: Sequence[ReceivedEvent[AnyEvent]]  # in order of arrival
    ended: frozenset[str]  # streams of which no final follows
    until_s: float  # monotonic; when reading ended
    cpu_s: float  # of the worker, all threads
    late_s: float  # the longest that a chunk was published after its time
    lag_samples: Sequence[LagSample] = ()  # in order; of streamscribe only


Observed: TypeAlias = dict[str, dict[str, list[Observation]]]  # by system, by scenario; rounds


def received(observations: Iterable[Observation], kind: type[E_co]) -> list[ReceivedEvent[E_co]]:
    """Return all events of one type."""
    return [
        ReceivedEvent(each.at_s, each.event)
        for observation in observations
        for each in observation.received
        if isinstance(each.event, kind)
    ]


def by_stream(
    observations: Iterable[Observation],
) -> Iterator[tuple[Observation, Conversation, list[ReceivedFinal]]]:
    """Yield every conversation with its finals in the order of its audio."""
    for observation in observations:
        finals = received([observation], TranscriptFinal)
        finals.sort(key=lambda final: final.event.start_s)
        for conversation in observation.scenario.conversations:
            own = [final for final in finals if final.event.stream_id == conversation.stream_id]
            yield observation, conversation, own
