"""What a stream hands out: audio to score, utterances, dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from consumer.core.audio.utterance import Int16Array, Utterance
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Record, SessionKey, UtteranceId
from schemas.audio import StreamOptions
from schemas.transcript import AnyEvent, Source


@dataclass(slots=True, eq=False)
class VadState:
    """Where a scorer keeps a detector between two calls: a new one, empty, at every cut."""

    lead_in: Int16Array | None = None  # audio up to the cut, where speech goes on over it
    detector: object | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ScoreRequest:
    """Audio to be scored: it follows what the same ear heard last."""

    session: SessionKey
    vad: VadState
    rate: int  # Hz
    samples: Int16Array  # [n] mono


@dataclass(frozen=True, slots=True, eq=False)
class PendingUtterance:
    """An utterance that waits for its text, and all that its final says beside it."""

    id: UtteranceId
    entry: EntryId
    utterance: Utterance
    options: StreamOptions
    index: int  # of its event
    started_at_ms: int  # Unix time of the first sample
    speech_end_ms: int  # of the last sample heard as speech
    ended_at_ms: int  # of the last sample
    source: Source
    traceparent: str | None
    attempts: int = 0  # decodes of it that were begun before, by workers that ended uncleanly
    language: LanguageHold = UNKNOWN  # its session's language, as far as it was known when it ended


class InterimDecode(NamedTuple):
    """An open utterance as it would be if no more speech came."""

    id: UtteranceId
    utterance: Utterance
    options: StreamOptions
    is_ending: bool  # quiet for as long as the post-roll: it may well be all of it
    time_ms: int  # Unix time of its last sample
    first_offset: int  # of the record that it begins in
    uncut_s: float  # of it: what lies behind may yet be of the next utterance
    language: LanguageHold = UNKNOWN  # its session's language


class EntryId(NamedTuple):
    """Names an entry that waits for its events."""

    stream_id: str
    number: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that cannot be used, with the reason."""

    record: Record
    reason: str  # a stable code
    message: str  # for people
    records: int | None = None  # that it stands for, from its own offset on: a batch; None: itself


Effect: TypeAlias = AnyEvent | DeadLetter
