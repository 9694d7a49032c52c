"""The output of a stream for its partition: score requests, utterances, events, dead letters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from consumer.core.audio.utterance import Int16Array, Utterance
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Record, SessionKey, UtteranceId
from consumer.core.streams.state import StreamState
from schemas.audio import StreamOptions
from schemas.errors import Reason
from schemas.transcript import AnyEvent, Source


@dataclass(slots=True, eq=False)
class VadState:
    """The state of a speech detector between two calls; every cut begins with an empty one."""

    lead_in: Int16Array | None = None  # audio before a cut that split an utterance
    detector: object | None = None  # the detector's own state, set by its first call
    is_alone: bool = False  # scored in a call of its own: a call with other streams failed
    has_failed: bool = False  # that call failed, too: not to be scored any more


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRequest:
    """Audio to score; it continues the samples of the last request with the same `vad`."""

    session: SessionKey
    vad: VadState
    rate: int  # Hz
    samples: Int16Array  # [n] mono


@dataclass(frozen=True, slots=True, eq=False)
class PendingUtterance:
    """A closed utterance that waits for its text, and the other fields of its final."""

    id: UtteranceId
    utterance: Utterance
    options: StreamOptions
    index: int  # of its final in the session
    started_at_ms: int  # Unix time of the first sample
    speech_end_ms: int  # Unix time of the last sample of speech
    ended_at_ms: int  # Unix time of the last sample
    source: Source
    traceparent: str | None
    attempts: int = 0  # committed attempts at it of earlier workers, which may have ended them
    language: LanguageHold = UNKNOWN  # of its session, as known when it closed


class OpenUtterance(NamedTuple):
    """The extent of an open utterance as it would end if no more speech followed."""

    id: UtteranceId
    start: int  # samples [start, end) of the session
    end: int
    rate: int  # Hz
    options: StreamOptions
    is_ending: bool  # non-speech has lasted for the post-roll, so it may be complete

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / self.rate


class InterimDecode(NamedTuple):
    """An open utterance as it would end if no more speech followed."""

    id: UtteranceId
    utterance: Utterance
    options: StreamOptions
    is_ending: bool  # non-speech has lasted for the post-roll, so it may be complete
    time_ms: int  # Unix time of its last sample
    first_offset: int  # of the record that it begins in
    uncut_s: float  # leading seconds in which no split can lie
    language: LanguageHold = UNKNOWN  # of its session

    @property
    def opened(self) -> OpenUtterance:
        """Its extent."""
        of = self.utterance
        return OpenUtterance(self.id, of.start, of.end, of.rate, self.options, self.is_ending)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be used, and the reason."""

    record: Record
    reason: str  # a stable code
    message: str  # for people
    records: int | None = None  # number of records that a batch replaces; None: not a batch
    utterance: Utterance | None = None  # to be encoded as the record's value
    options: StreamOptions | None = None  # of its session, which its first record stated

    def of_session(self, options: StreamOptions | None) -> DeadLetter:
        """Return the letter with the options of the open session, unless it is another's."""
        return self if self.reason == Reason.SECOND_PUBLISHER else replace(self, options=options)


Effect: TypeAlias = AnyEvent | DeadLetter


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One entry of a stream in media order: effects to publish, or an utterance without text yet.

    `before` is the state of the stream as of its cut before the entry: the state to commit with
    everything before the entry.
    """

    before: StreamState
    content: PendingUtterance | tuple[Effect, ...]
    since_ms: int | None = None  # append time since which it is due; None: the newest record's
