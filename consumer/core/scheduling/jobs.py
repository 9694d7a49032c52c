"""Jobs for the model, and what a transcriber is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Speech, Utterance
from consumer.core.streams.language import UNKNOWN, LanguageHold
from consumer.core.streams.records import Lane, UtteranceId
from consumer.core.text.hypothesis import Hypothesis
from schemas.audio import StreamOptions, Task


class JobKind(IntEnum):
    """What a transcription is for; the smaller is served first."""

    FINAL = 0
    INTERIM = 1


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One utterance to be transcribed."""

    id: UtteranceId
    epoch: int  # of the task: a result of an older one is dropped
    kind: JobKind
    lane: Lane
    closed_at: float  # monotonic seconds
    deadline: float  # monotonic seconds; the earliest is served first
    utterance: Utterance
    options: StreamOptions
    language: LanguageHold = UNKNOWN  # held by its session, as far as it is known
    isolated: bool = False  # it may have ended a worker: decoded alone in its batch
    earlier: tuple[Hypothesis, ...] = ()  # texts of it that were not accepted
    request: int = 0  # of its utterance: a reply to an older one is late
    is_excerpt: bool = False  # of a stretch that the utterance's text leaves out

    @property
    def is_repeat(self) -> bool:
        """Whether its utterance, or the stretch's, was decoded before: its backlog has passed."""
        return bool(self.earlier) or self.is_excerpt


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Jobs that go through the model together, in the order in which they were taken."""

    jobs: tuple[Job, ...]
    padded: bool = False  # without the fold, to check it


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """What a transcriber gets: one utterance and how it is to be decoded."""

    samples: Float32Array  # [n] mono at WHISPER_RATE, -1..1
    languages: tuple[str, ...] = ()  # Whisper codes; one: given; several: those allowed; (): all
    language: LanguageHold = UNKNOWN  # what the language is held to be, where it is not given
    speech: Speech | None = None  # what the detector heard of it; None: all of it is speech
    task: Task = Task.TRANSCRIBE
    prompt: str | None = None  # text that is taken to precede the clip
    chinese_prompt: str | None = None  # likewise without one, if it is in Chinese
    hotwords: str | None = None  # words to expect
    words: bool = False  # word times wanted
    padded: bool = False  # without the fold, to check it
    earlier: tuple[Hypothesis, ...] = ()  # what came of earlier attempts at it
    once: bool = False  # one attempt, whatever comes of it

    @property
    def seconds(self) -> float:
        return len(self.samples) / WHISPER_RATE

    @property
    def speech_s(self) -> float:
        """Seconds of it that were heard as speech."""
        return self.seconds * (1.0 if self.speech is None else self.speech.ratio)
