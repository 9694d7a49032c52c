"""Transcripts out: the events of `speech.transcripts.v1` and `speech.partials.v1`.

Every event is a CloudEvent 1.0 (`schemas.codec` writes the headers); its `type` is the dataclass's
`TYPE`. A stream consists of one or more *sessions*. A session is named by its first record, so that
every run over the same log gives every event the same id. Times in seconds are on the stream's own
time axis. A value that was not measured is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, TypeAlias

LOW_CONFIDENCE: Final = 0.5  # probability of a word: below it, the word is uncertain


class Verdict(StrEnum):
    """The assessment of a final's text."""

    ACCEPT = "accept"
    REVIEW = "review"  # uncertain: a person should check it
    SUPPRESSED = "suppressed"  # no speech: the text is empty, see the reasons


class QualityReason(StrEnum):
    """Why a final's text was suppressed or is uncertain: the values of `Quality.reasons`."""

    NO_SPEECH = "no_speech"  # by Whisper's no_speech_prob and avg_logprob
    WEAK_DETECTION = "weak_detection"  # the detector found hardly any speech
    GUESS = "guess"  # up to three words, of low probability
    NO_WORDS = "no_words"  # only punctuation
    SILENCE_PHRASE = "silence_phrase"  # a phrase that Whisper writes on silence; weak evidence
    PROMPT_ECHO = "prompt_echo"  # a piece of the prompt; weak evidence
    REPETITION = "repetition"  # a loop
    TOO_FAST = "too_fast"  # more words per second than a person can speak
    WORD_WITHOUT_SPEECH = "word_without_speech"  # words on audio without speech were removed
    SPEECH_WITHOUT_WORD = "speech_without_word"  # a second or more of speech has no words
    LOW_LOGPROB = "low_logprob"  # low avg_logprob


class StreamEndReason(StrEnum):
    END = "end"  # the publisher ended it
    IDLE = "idle"  # no record for a long time
    FORMAT = "format"  # rate or channels changed: a new session follows
    RESTART = "restart"  # the publisher started the stream again: a new session follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The fields of every event."""

    TYPE: ClassVar[str]

    stream_id: str
    session_id: (
        str  # <partition>-<offset of its first record>; on the bulk topic: b<partition>-<offset>
    )
    index: int  # of the event in its session: 0, 1, 2, ...
    time_ms: int  # Unix time of the last audio sample of the event
    traceparent: str | None = None  # W3C, as the publisher sent it

    @property
    def name(self) -> str:
        """The last part of the event's id, unique in its session."""
        return f"e{self.index}"

    @property
    def id(self) -> str:
        """The CloudEvents id, the same on every run over the same log."""
        return f"{self.stream_id}/{self.session_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Measures of a final's reliability; null: not measured."""

    avg_logprob: float  # mean log-probability of its tokens, as openai-whisper defines it
    no_speech_prob: float
    compression_ratio: float  # of the text: high when it loops
    snr_db: float | None = None
    clipped_ratio: float | None = None  # share of samples at full scale
    speech_ratio: float | None = None  # share of the utterance detected as speech
    words_per_second: float | None = None
    low_confidence_words: int | None = None  # of a probability below 0.5 (LOW_CONFIDENCE)
    verdict: Verdict = Verdict.ACCEPT
    reasons: tuple[str, ...] = ()  # of `QualityReason`; a later version may add some


@dataclass(frozen=True, slots=True)
class Model:
    """The model that wrote the text."""

    name: str
    sha256: str  # of the weights
    dtype: str
    fold: bool  # decoded with the folded encoder


@dataclass(frozen=True, slots=True)
class Source:
    """The location of the audio in Kafka."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Latencies in milliseconds."""

    speech_end_to_final_ms: int | None  # wall time of the last speech sample -> publication
    queue_ms: int  # utterance closed -> start of its decode, the last of several
    decode_ms: int  # of the batch it was decoded in


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptFinal(Event):
    """The final transcript of one utterance."""

    TYPE: ClassVar[str] = "speech.transcript.final"

    utterance: int  # 0, 1, 2, ... within the session, without holes
    start_s: float
    end_s: float
    speech_end_s: float  # end of its last speech, from which latency is measured
    start_sample: int
    end_sample: int  # exclusive
    rate: int  # Hz
    started_at_ms: int  # Unix time of the first sample
    end_reason: str  # silence | max_length | gap | flush | stalled | end_of_stream
    language: str  # BCP 47
    language_probability: float | None  # null: the language was given
    text: str
    words: tuple[Word, ...] | None
    confidence: float | None  # 0..1, probability that a word of it is right
    quality: Quality
    model: Model
    source: Source
    timing: Timing
    suppressed_text: str | None = None  # text removed by the filter, where the worker publishes it

    @property
    def name(self) -> str:
        return str(self.utterance)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptPartial(Event):
    """The transcript of an utterance so far; may be lost or repeated."""

    TYPE: ClassVar[str] = "speech.transcript.partial"

    utterance: int
    revision: int
    start_s: float
    end_s: float
    language: str
    stable_text: str  # never changed by a later partial
    tentative_text: str

    @property
    def name(self) -> str:
        return f"{self.utterance}/{self.revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStarted(Event):
    TYPE: ClassVar[str] = "speech.stream.started"

    rate: int  # Hz
    channels: int
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnded(Event):
    TYPE: ClassVar[str] = "speech.stream.ended"

    reason: StreamEndReason
    utterances: int
    audio_s: float
    speech_s: float
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamGap(Event):
    """Audio that never reached Kafka."""

    TYPE: ClassVar[str] = "speech.stream.gap"

    start_sample: int
    end_sample: int
    rate: int  # Hz
    estimated: bool  # the length was estimated from earlier chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLoss(Event):
    """Records, perhaps of this stream, that were deleted before they were read, or are unreadable.

    Unreadable records are reported only to streams whose records have neither `seq` nor `start`.
    """

    TYPE: ClassVar[str] = "speech.stream.loss"

    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWarning(Event):
    """A setting of the publisher is not applied."""

    TYPE: ClassVar[str] = "speech.stream.warning"

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceStarted(Event):
    """Speech has begun (for barge-in); on the partials topic."""

    TYPE: ClassVar[str] = "speech.utterance.started"

    utterance: int
    start_s: float

    @property
    def name(self) -> str:
        return f"{self.utterance}/started"


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceFailed(Event):
    """An utterance could not be transcribed; its audio is in the dead-letter topic."""

    TYPE: ClassVar[str] = "speech.utterance.failed"

    utterance: int
    start_sample: int
    end_sample: int
    rate: int
    reason: str

    @property
    def name(self) -> str:
        return str(self.utterance)


AnyEvent: TypeAlias = (
    TranscriptFinal
    | TranscriptPartial
    | StreamStarted
    | StreamEnded
    | StreamGap
    | StreamLoss
    | StreamWarning
    | UtteranceStarted
    | UtteranceFailed
)
