"""Utterances: a stretch of audio between two cuts, and what the detector knows of its speech."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int16Array: TypeAlias = npt.NDArray[np.int16]


Float32Array: TypeAlias = npt.NDArray[np.float32]


WHISPER_RATE = 16_000  # Hz, of every clip that reaches a transcriber


class EndReason(StrEnum):
    """Why an utterance ended where it did."""

    SILENCE = "silence"  # the detector heard enough non-speech
    MAX_LENGTH = "max_length"  # cut at the quietest place before the longest length
    GAP = "gap"  # audio is missing behind it
    FLUSH = "flush"  # the publisher asked (push to talk)
    STALLED = "stalled"  # no record for a while, and none waiting
    END_OF_STREAM = "end_of_stream"


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
