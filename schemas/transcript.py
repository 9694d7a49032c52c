"""Transcripts out: the events of `speech.transcripts.v1` and `speech.partials.v1`.

Every event is a CloudEvent 1.0 (`schemas.codec` makes the headers); its `type` is the dataclass's
`TYPE`. A stream's life is one or more *sessions*; a session is named by the record that began it,
so every run over the same log gives every event the same id. Times in seconds lie on the stream's
own time axis. Events carry their full shape from the first release: what is not measured is null.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias


class Verdict(StrEnum):
    """What the evidence says of a final's text."""

    ACCEPT = "accept"
    REVIEW = "review"  # worth a human look
    SUPPRESSED = "suppressed"  # nothing was said: the text is empty, the reasons say why


class QualityReason(StrEnum):
    """Why a final's text was suppressed, or is worth a look; `Quality.reasons` are such."""

    NO_SPEECH = "no_speech"  # Whisper's no_speech_prob with its avg_logprob
    WEAK_DETECTION = "weak_detection"  # the detector heard hardly any speech
    GUESS = "guess"  # a word or three that the model itself holds for unlikely
    NO_WORDS = "no_words"  # nothing but punctuation
    SILENCE_PHRASE = "silence_phrase"  # what Whisper writes on silence, and little evidence else
    PROMPT_ECHO = "prompt_echo"  # a piece of the prompt, and little evidence else
    REPETITION = "repetition"  # a loop
    TOO_FAST = "too_fast"  # more words a second than can be spoken
    WORD_WITHOUT_SPEECH = "word_without_speech"  # words were removed: nothing was heard under them
    SPEECH_WITHOUT_WORD = "speech_without_word"  # for a second or more: something is missing
    LOW_LOGPROB = "low_logprob"  # the model is unsure


class StreamEndReason(StrEnum):
    END = "end"  # the publisher said so
    IDLE = "idle"  # no record for long
    FORMAT = "format"  # rate or channels changed: a new session follows
    RESTART = "restart"  # the id began anew: a new session follows


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event says."""

    TYPE: ClassVar[str]

    stream_id: str
    session_id: (
        str  # <partition>-<offset of its first record>; of the bulk topic: b<partition>-<offset>
    )
    index: int  # of the event in its session: 0, 1, 2, ...
    time_ms: int  # Unix time of the last audio sample the event speaks of
    traceparent: str | None = None  # W3C, as the publisher sent it

    @property
    def name(self) -> str:
        """Last part of the event's id, unique in its session."""
        return f"e{self.index}"

    @property
    def id(self) -> str:
        """The same on every run over the same log."""
        return f"{self.stream_id}/{self.session_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a final can be trusted, measure by measure; null: not measured."""

    avg_logprob: float  # mean log-probability of its tokens, as openai-whisper defines it
    no_speech_prob: float
    compression_ratio: float  # of the text: high when it loops
    snr_db: float | None = None
    clipped_ratio: float | None = None  # share of samples at full scale
    speech_ratio: float | None = None  # share of the utterance heard as speech
    words_per_second: float | None = None
    low_confidence_words: int | None = None
    verdict: Verdict = Verdict.ACCEPT
    reasons: tuple[str, ...] = ()  # of `Doubt`; a later version may know more


@dataclass(frozen=True, slots=True)
class Model:
    """What wrote the text."""

    name: str
    sha256: str  # of the weights
    dtype: str
    fold: bool  # decoded with the folded encoder


@dataclass(frozen=True, slots=True)
class Source:
    """Where the audio stands in Kafka."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went; milliseconds."""

    speech_end_to_final_ms: int | None  # wall time of the last speech sample -> publication
    queue_ms: int  # utterance closed -> decode begun, the last if there were several
    decode_ms: int  # of the batch it was decoded in


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptFinal(Event):
    """One utterance, once and for all."""

    TYPE: ClassVar[str] = "speech.transcript.final"

    utterance: int  # 0, 1, 2, ... within the session, no hole
    start_s: float
    end_s: float
    speech_end_s: float  # the last of it that was heard as speech: latency counts from here
    start_sample: int
    end_sample: int  # exclusive
    rate: int  # Hz
    started_at_ms: int  # Unix time of the first sample
    end_reason: str  # silence | max_length | gap | flush | stalled | end_of_stream
    language: str  # BCP 47
    language_probability: float | None  # null: the language was given
    text: str
    words: tuple[Word, ...] | None
    confidence: float | None  # 0..1, probability that a word is right
    quality: Quality
    model: Model
    source: Source
    timing: Timing
    suppressed_text: str | None = None  # what the guard took out of the text, if set to be told

    @property
    def name(self) -> str:
        return str(self.utterance)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptPartial(Event):
    """An utterance as heard so far; may be lost or repeated."""

    TYPE: ClassVar[str] = "speech.transcript.partial"

    utterance: int
    revision: int
    start_s: float
    end_s: float
    language: str
    stable_text: str  # never taken back by a later partial
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
    estimated: bool  # the length was guessed from the chunks before


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLoss(Event):
    """Records that nobody read, perhaps of this stream: deleted before (retention), or unreadable.

    Only streams that neither number nor place their records are told of unreadable ones.
    """

    TYPE: ClassVar[str] = "speech.stream.loss"

    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamWarning(Event):
    """Something the publisher asked for does not hold."""

    TYPE: ClassVar[str] = "speech.stream.warning"

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceStarted(Event):
    """Speech has begun (barge-in); on the partials topic."""

    TYPE: ClassVar[str] = "speech.utterance.started"

    utterance: int
    start_s: float

    @property
    def name(self) -> str:
        return f"{self.utterance}/started"


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceFailed(Event):
    """An utterance that could not be transcribed; its audio is in the dead-letter topic."""

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
