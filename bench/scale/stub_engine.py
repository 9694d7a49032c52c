"""A model that takes set times and answers with recorded texts: it sleeps, and computes nothing.

It is a `Transcriber`, so that a worker runs it in its own process, or an engine process serves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

from consumer.core.audio.utterance import Speech
from consumer.core.scheduling.capacity import CONTEXT, BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import units
from schemas.languages import WHISPER_CODES
from schemas.transcript import Model

_WORDS_PER_S: Final = 2.7  # of conversation
_SPEECH: Final = 0.5  # probability of a window
_PROBABILITY: Final = 0.9  # of a word


@dataclass(frozen=True, slots=True)
class ServiceTimes:
    """What a batch takes."""

    batch_s: float
    row_s: float  # and each of its rows


class StubTranscriber:
    """A `consumer.engine.transcriber_thread.Transcriber`."""

    info = Model("stub", "0" * 64, "none", fold=True)
    languages = frozenset(WHISPER_CODES)
    limits = BatchLimits(64, 64 * CONTEXT)

    def __init__(
        self, text: str, times: ServiceTimes, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """`text`: recorded, in words separated by blanks."""
        self._words = [f" {unit.text.strip()}" for unit in units(text)]
        self._times = times
        self._sleep = sleep
        self._numbers = count()

    def warm_up(self) -> None:
        """Do nothing: there is nothing to prepare."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        self._sleep(self._times.batch_s + self._times.row_s * len(clips))
        return [self._hypothesis(clip) for clip in clips]

    def _hypothesis(self, clip: DecodeRequest) -> Hypothesis:
        """Return words at equal shares of the speech; each text differs from all others."""
        number = next(self._numbers)
        times = _speech_times(clip.speech, clip.seconds)
        bounds = _shares(times, max(1, round(_WORDS_PER_S * clip.seconds)))
        words = tuple(
            TimedWord(self._words[(number + index) % len(self._words)], start, end, _PROBABILITY)
            for index, (start, end) in enumerate(pairwise(bounds))
        )
        return Hypothesis(
            text="".join(word.text for word in words).strip(),
            language=clip.languages[0] if clip.languages else "en",
            language_probability=None,
            tokens=tuple(range(len(words))),
            avg_logprob=-0.2,
            no_speech_prob=0.02,
            compression_ratio=1.3,
            words=words if clip.words else None,
        )


def _speech_times(speech: Speech | None, seconds: float) -> list[float]:
    """Return the ends of the windows of speech in seconds, or both ends of the clip."""
    if speech is None or not speech.probabilities:
        return [0.0, seconds]
    window_s = speech.window_ms / 1000
    probabilities = enumerate(speech.probabilities, 1)
    found = [index * window_s for index, each in probabilities if each >= _SPEECH]
    return [0.0, *found] if found else [0.0, seconds]


def _shares(times: Sequence[float], count: int) -> list[float]:
    """Return `count` + 1 of the times, evenly taken."""
    return [times[index * (len(times) - 1) // count] for index in range(count + 1)]
