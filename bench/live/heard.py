"""What was spoken to an engine and what came out of it, whichever it was. Values alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bench.live.programme import Programme
from consumer.core.audio.utterance import WHISPER_RATE
from schemas.transcript import TranscriptFinal, TranscriptPartial, UtteranceStarted


@dataclass(frozen=True, slots=True)
class Final:
    """One final, when a read_committed reader had it."""

    stream_id: str
    start_s: float  # of its audio
    end_s: float
    text: str
    at_s: float  # monotonic
    event: TranscriptFinal | None = None  # of ours: all that it says beside that

    @property
    def is_forced(self) -> bool:
        """It was cut because it had grown too long, in the middle of what was said."""
        return self.event is not None and self.event.end_reason == "max_length"


@dataclass(frozen=True, slots=True)
class Partial:
    """One partial, when a reader had it."""

    at_s: float  # monotonic
    event: TranscriptPartial


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech was heard to begin."""

    at_s: float  # monotonic
    event: UtteranceStarted


@dataclass(frozen=True, slots=True)
class Ended:
    """A stream has ended: no final of it comes any more."""

    stream_id: str


Heard: TypeAlias = Final | Partial | Onset | Ended


@dataclass(frozen=True, slots=True)
class Axis:
    """When a stream's samples were spoken."""

    begin_s: float  # sample 0; monotonic
    pace: float  # seconds of audio a second

    def at_s(self, seconds: float) -> float:
        """Monotonic time of that moment of the stream."""
        return self.begin_s + seconds / self.pace

    def of_sample(self, sample: int) -> float:
        return self.at_s(sample / WHISPER_RATE)


@dataclass(frozen=True, slots=True)
class Act:
    """What is spoken to one worker, all streams at once."""

    programmes: Sequence[Programme]
    pace: float  # seconds of audio a second
    partials: bool
    patience_s: float  # to wait for the ends of all streams, once all is spoken


@dataclass(frozen=True, slots=True)
class Look:
    """What a worker said of itself."""

    at_s: float  # monotonic
    lag_s: float  # of the partition that is furthest behind
    resident_mb: float  # megabytes of 10^6 bytes


@dataclass(frozen=True, slots=True)
class Played:
    """All that came of an act."""

    act: Act
    axis: Axis
    heard: Sequence[Heard]
    ended: frozenset[str]  # streams of which nothing more comes
    until_s: float  # monotonic; nothing was read behind it
    cpu_s: float  # of the worker, all threads
    late_s: float  # most that a chunk was late on its way to Kafka
    looks: Sequence[Look] = ()  # in order; none where a contestant tells nothing

    @property
    def audio_s(self) -> float:
        return sum(programme.seconds for programme in self.act.programmes)
