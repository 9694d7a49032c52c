"""Utterances: audio between two cuts, with the speech detector's scores of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Int16Array: TypeAlias = npt.NDArray[np.int16]
Float32Array: TypeAlias = npt.NDArray[np.float32]

WHISPER_RATE = 16_000  # Hz, of every clip that the model gets


class EndReason(StrEnum):
    """Why an utterance ended."""

    SILENCE = "silence"  # enough non-speech was detected
    MAX_LENGTH = "max_length"  # split at the quietest window before the maximum length
    GAP = "gap"  # audio after it is missing
    FLUSH = "flush"  # requested by the publisher (push to talk)
    STALLED = "stalled"  # no record for a while, and none waits in Kafka
    END_OF_STREAM = "end_of_stream"


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """The speech detector's scores of an utterance; all are 0..1."""

    ratio: float  # windows of speech / windows
    peak: float  # highest speech probability of a window
    mean: float  # mean speech probability of the windows
    probabilities: tuple[float, ...] = ()  # of each window, in order; empty: not known
    window_ms: int = 32  # of the detector


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Audio of one session between two cuts: samples [start, end) at `rate`."""

    number: int  # 0, 1, 2, ... within the session, without gaps
    start: int
    end: int
    speech_end: int  # the last sample of speech, + 1: latency counts from here
    rate: int  # Hz, the stream's own
    samples: Int16Array  # [end - start], mono
    end_reason: EndReason
    speech: Speech

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / self.rate

    @property
    def speech_s(self) -> float:
        """Seconds that the detector scored as speech."""
        return self.speech.ratio * self.seconds
