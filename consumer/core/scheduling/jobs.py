"""Jobs for the model, and the requests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from consumer.core.audio.utterance import (
    WHISPER_RATE,
    Float32Array,
    Int16Array,
    Speech,
    Utterance,
)
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Lane, Partition, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from schemas.audio import StreamOptions, Task


class JobKind(IntEnum):
    """The purpose of a decode; the smaller is served first."""

    FINAL = 0
    INTERIM = 1


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One utterance to decode."""

    id: UtteranceId
    epoch: int  # of the partition task: results of an older one are dropped
    kind: JobKind
    lane: Lane
    closed_at: float  # monotonic seconds
    deadline: float  # monotonic seconds; the earliest is served first
    utterance: Utterance
    options: StreamOptions
    language: LanguageHold = UNKNOWN  # held by its session, as known now
    isolated: bool = False  # decoded alone in its batch: it may have ended a worker
    earlier: tuple[Hypothesis, ...] = ()  # texts of it that were not accepted
    request: int = 0  # number within its utterance: replies to older ones are ignored
    is_excerpt: bool = False  # a stretch that the text of the utterance leaves out

    @property
    def is_repeat(self) -> bool:
        """Whether the utterance was decoded before, so that it is outside the stream's backlog."""
        return bool(self.earlier) or self.is_excerpt

    def is_final_of(self, id_: UtteranceId) -> bool:
        """Return whether the job is for the final of that utterance."""
        return self.id == id_ and self.kind is JobKind.FINAL

    def is_stale(self, epochs: Mapping[Partition, int]) -> bool:
        """Return whether the job's partition was revoked or opened again since."""
        return epochs.get(self.id.session.partition) != self.epoch


@dataclass(frozen=True, slots=True)
class JobFailure:
    """The reply to a job that alone makes the model raise; other jobs are decoded."""

    error: str  # the class of the exception; its message may quote the publisher


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that the model decodes together."""

    jobs: tuple[Job, ...]
    padded: bool = False  # without the fold, for an audit
    threads: int = 0  # of the model; 0: as many as the batch before


Samples: TypeAlias = Int16Array | Float32Array  # as recorded, or in -1..1 at a usual level


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """The engine's input for one utterance."""

    samples: Samples  # [n] mono at WHISPER_RATE
    languages: tuple[str, ...] = ()  # Whisper codes; one: given; several: allowed; (): any
    language: LanguageHold = UNKNOWN  # where the language is not given
    speech: Speech | None = None  # None: all of it counts as speech
    task: Task = Task.TRANSCRIBE
    prompt: str | None = None  # text that precedes the clip
    chinese_prompt: str | None = None  # prompt if the clip is in Chinese and `prompt` is None
    hotwords: str | None = None  # words to expect
    words: bool = False  # with word times
    padded: bool = False  # without the fold, for an audit
    earlier: tuple[Hypothesis, ...] = ()  # texts of it that were not accepted
    once: bool = False  # one attempt: no fallback, even if its text is not accepted

    @property
    def seconds(self) -> float:
        return len(self.samples) / WHISPER_RATE

    @property
    def speech_s(self) -> float:
        """Seconds that the detector scored as speech."""
        return self.seconds * (1.0 if self.speech is None else self.speech.ratio)
