"""What flows through the service, as frozen values.

    Record -> Chunk -> Listen -> Utterance -> Job -> Batch -> Hypothesis -> TranscriptFinal

Two clocks, never mixed. Audio position: a sample index in the stream, exact, an `int`. Wall time:
monotonic seconds, a `float`, read only in the shell and handed in as `now`. Every other name
carries its unit: `_ms`, `_s`, `_samples`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from consumer.core.language import UNKNOWN, Identified, LanguageHold
from schemas.audio import AudioChunk, StreamOptions, Task
from schemas.errors import Reason

Int16Array: TypeAlias = npt.NDArray[np.int16]
Float32Array: TypeAlias = npt.NDArray[np.float32]

WHISPER_RATE = 16_000  # Hz, of every clip that reaches a transcriber


class Lane(IntEnum):
    """Which audio topic a record came from; the smaller is served first."""

    LIVE = 0
    BULK = 1


class JobKind(IntEnum):
    """What a transcription is for; the smaller is served first."""

    FINAL = 0
    PARTIAL = 1


class EndReason(StrEnum):
    """Why an utterance ended where it did."""

    SILENCE = "silence"  # the detector heard enough non-speech
    MAX_LENGTH = "max_length"  # cut at the quietest place before the longest length
    GAP = "gap"  # audio is missing behind it
    FLUSH = "flush"  # the publisher asked (push to talk)
    STALLED = "stalled"  # no record for a while, and none waiting
    END_OF_STREAM = "end_of_stream"


class Partition(NamedTuple):
    """One input partition: what one assignment, one ledger and one transactional id are about."""

    topic: str
    number: int


class Record(NamedTuple):
    """One record as Kafka gave it; nothing about it has been checked."""

    partition: Partition
    offset: int
    timestamp_ms: int  # append time (the audio topics use LogAppendTime)
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @property
    def next_offset(self) -> int:
        return self.offset + 1


class Unread(NamedTuple):
    """A batch of records that nobody can read, in their place in the log."""

    partition: Partition
    offset: int  # of its first record
    last_offset: int
    timestamp_ms: int | None  # append time; None: not known
    raw: bytes  # the batch as Kafka gave it
    reason: Reason
    message: str  # for people

    @property
    def next_offset(self) -> int:
        return self.last_offset + 1


class Assignment(NamedTuple):
    """A partition that this worker is to serve from now on."""

    partition: Partition
    lane: Lane


@dataclass(frozen=True, slots=True, eq=False)
class Poll:
    """What one look at Kafka brought; to be taken in this order."""

    assigned: tuple[Assignment, ...] | None = None  # all that is ours now; None: as before
    overtaken: tuple[Partition, ...] = ()  # what was to be read next has been deleted
    records: tuple[Record | Unread, ...] = ()
    caught_up: frozenset[Partition] = frozenset()  # no record of theirs waits in Kafka


class SessionKey(NamedTuple):
    """Names one session of one stream."""

    partition: Partition
    stream_id: str
    session_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A record that could be read: what it says, and its sound."""

    record: Record
    audio: AudioChunk
    samples: Int16Array  # [n] mono
    rate: int  # Hz, the payload's own where it says one
    channels: int  # before they were mixed down

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def timestamp_ms(self) -> int:
        """Append time."""
        return self.record.timestamp_ms


@dataclass(slots=True, eq=False)
class Ear:
    """Where a scorer keeps a detector between two calls: a new one, empty, at every cut."""

    before: Int16Array | None = None  # audio up to the cut, where speech goes on over it
    detector: object | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Listen:
    """Audio to be scored: it follows what the same ear heard last."""

    session: SessionKey
    ear: Ear
    rate: int  # Hz
    samples: Int16Array  # [n] mono


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """What the detector knows of an utterance; every share is 0..1."""

    ratio: float  # windows heard as speech / windows of the utterance
    peak: float  # highest speech probability of a window
    mean: float  # mean speech probability of its windows
    probabilities: tuple[float, ...] = ()  # of its windows, in order; empty: not known
    window_ms: int = 32  # of the detector


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """A stretch of one session between two cuts, [start, end) in samples at `rate`."""

    number: int  # 0, 1, 2, ... within the session, no hole
    start: int
    end: int
    speech_end: int  # the last sample heard as speech, + 1: latency counts from here
    rate: int  # Hz, the stream's own
    samples: Int16Array  # [end - start], mono
    end_reason: EndReason
    speech: Speech

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / self.rate

    @property
    def speech_s(self) -> float:
        """Seconds of it that were heard as speech."""
        return self.speech.ratio * self.seconds


class JobId(NamedTuple):
    """Names one utterance of one session everywhere: logs, results, events."""

    session: SessionKey
    utterance: int


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One utterance to be transcribed."""

    id: JobId
    epoch: int  # of the task: a result of an older one is dropped
    kind: JobKind
    lane: Lane
    closed_at: float  # monotonic seconds
    deadline: float  # monotonic seconds; the earliest is served first
    utterance: Utterance
    options: StreamOptions
    held: LanguageHold = UNKNOWN  # its session's language, as far as it is known
    alone: bool = False  # it may be what ended a worker: nothing else goes with it
    tried: tuple[Hypothesis, ...] = ()  # attempts at it whose text does not stand


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that go through the model together, in the order in which they were taken."""

    jobs: tuple[Job, ...]
    padded: bool = False  # without the fold, to check it


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """What a transcriber gets: one utterance and how it is to be decoded."""

    samples: Float32Array  # [n] mono at WHISPER_RATE, -1..1
    languages: tuple[str, ...] = ()  # Whisper codes; one: given; several: those allowed; (): all
    held: LanguageHold = UNKNOWN  # what the language is held to be, where it is not given
    speech: Speech | None = None  # what the detector heard of it; None: all of it is speech
    task: Task = Task.TRANSCRIBE
    prompt: str | None = None  # text that is taken to precede the clip
    chinese_prompt: str | None = None  # likewise without one, if it is in Chinese
    hotwords: str | None = None  # words to expect
    words: bool = False  # word times wanted
    padded: bool = False  # without the fold, to check it
    tried: tuple[Hypothesis, ...] = ()  # what came of earlier attempts at it
    once: bool = False  # one attempt, whatever comes of it

    @property
    def seconds(self) -> float:
        return len(self.samples) / WHISPER_RATE

    @property
    def speech_s(self) -> float:
        """Seconds of it that were heard as speech."""
        return self.seconds * (1.0 if self.speech is None else self.speech.ratio)


@dataclass(frozen=True, slots=True)
class TimedWord:
    """One word of a hypothesis; seconds from the clip's first sample."""

    text: str  # as it stands in the text, leading space included
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What Whisper wrote for one clip, with Whisper's own measures of it."""

    text: str
    language: str  # Whisper code
    language_probability: float | None  # among all; None: the language was given
    tokens: tuple[int, ...]  # text tokens, without the end
    avg_logprob: float  # sum of log-probabilities / (tokens + 1), as openai-whisper defines it
    no_speech_prob: float
    compression_ratio: float
    temperature: float = 0.0
    folded: bool = False  # decoded with the folded encoder
    words: tuple[TimedWord, ...] | None = field(default=None)  # None: not wanted
    identified: Identified | None = None  # the language by itself; None: it was given
    ended: bool = True  # by the model; else by the token limit
    tried: tuple[Hypothesis, ...] = ()  # all attempts so far, if another is due; (): it stands
