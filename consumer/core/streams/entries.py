"""What a stream hands to its partition: audio to score, utterances, events and dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from consumer.core.audio.utterance import Int16Array, Utterance
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Record, SessionKey, UtteranceId
from consumer.core.streams.state import StreamState
from schemas.audio import StreamOptions
from schemas.transcript import AnyEvent, Source


@dataclass(slots=True, eq=False)
class VadState:
    """The state of a speech detector between two calls; a new, empty one at every cut."""

    lead_in: Int16Array | None = None  # audio before the cut, where speech goes on over it
    detector: object | None = None  # the detector's own, set by its first call


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRequest:
    """Audio to be scored; it follows the samples of the last request with the same `vad`."""

    session: SessionKey
    vad: VadState
    rate: int  # Hz
    samples: Int16Array  # [n] mono


@dataclass(frozen=True, slots=True, eq=False)
class PendingUtterance:
    """A closed utterance that waits for its text, and what its final says beside the text."""

    id: UtteranceId
    utterance: Utterance
    options: StreamOptions
    index: int  # of its event
    started_at_ms: int  # Unix time of the first sample
    speech_end_ms: int  # Unix time of the last sample heard as speech
    ended_at_ms: int  # Unix time of the last sample
    source: Source
    traceparent: str | None
    attempts: int = 0  # decodes of it that earlier workers began and did not survive
    language: LanguageHold = UNKNOWN  # of its session, as far as known when it ended


class InterimDecode(NamedTuple):
    """An open utterance as it would end if no more speech came."""

    id: UtteranceId
    utterance: Utterance
    options: StreamOptions
    is_ending: bool  # it has been quiet for the post-roll, so this may be all of it
    time_ms: int  # Unix time of its last sample
    first_offset: int  # of the record that it begins in
    uncut_s: float  # leading seconds that no forced cut can take away
    language: LanguageHold = UNKNOWN  # of its session


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be used, and why."""

    record: Record
    reason: str  # a stable code
    message: str  # for people
    records: int | None = None  # number of records it stands for (a batch); None: itself
    utterance: Utterance | None = None  # the record's value, still to be encoded


Effect: TypeAlias = AnyEvent | DeadLetter


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One place in the media order of a stream: what is to be published there, or waits for text.

    `before` is the stream's state as of its cut before the entry, so that a commit that publishes
    everything up to here can say from where a successor has to read.
    """

    before: StreamState
    content: PendingUtterance | tuple[Effect, ...]
    since_ms: int | None = None  # append time from which it was due; None: the newest record's
