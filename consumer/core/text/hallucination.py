"""The hallucination filter: rules that suppress a text or mark it for review, each with a reason.

Whisper writes text for any sound. A rule examines the audio or the text; rules about the text also
require weak evidence from the audio, because real speech has thanks and repetitions, too.
docs/quality.md lists what each rule finds, and how much true speech it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np

from consumer.core.audio.loudness import Loudness
from consumer.core.audio.utterance import Speech, Utterance
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.patterns import (
    Repetition,
    is_echo,
    is_hotword_echo,
    is_silence_phrase,
    longest_repetition,
)
from consumer.core.text.units import keys
from schemas.audio import Task
from schemas.transcript import QualityReason

# Thresholds of openai-whisper (transcribe.py): for a verdict here, and for fallback in the engine.
MAX_COMPRESSION_RATIO: Final = 2.4  # above it the text repeats itself
MIN_AVG_LOGPROB: Final = -1.0  # below it the text is a guess
MAX_NO_SPEECH_PROB: Final = 0.6  # above it a guess is silence

# A line through the corner of these two thresholds separates speech better than the corner does.
_SILENCE_SLOPE: Final = 0.5  # weight of avg_logprob
_SILENCE_ABOVE: Final = MAX_NO_SPEECH_PROB - _SILENCE_SLOPE * MIN_AVG_LOGPROB

_FAINT_MEAN: Final = 0.3  # mean speech probability; true speech with its pauses has 0.36 or more
_FAINT_S: Final = 0.5  # of speech; with more of it, a low mean comes from long pauses
_FAINT_LOGPROB: Final = -0.5
_GUESS_UNITS, _GUESS_LOGPROB = 3, -1.1
_DOUBTFUL_NO_SPEECH, _DOUBTFUL_LOGPROB = 0.4, -0.7
_LOOP_SHARE: Final = 0.8  # of a text's units, above which it is nothing but a loop
_FASTEST: Final = 10.0  # words, in Chinese characters, per second of speech; speech has 3 to 6
_SHORTEST_S: Final = 0.3  # least speech that units per second are computed with

LEFT_OUT_S: Final = 1.0  # of speech without a word; complete texts have at most 0.5
_SPEECH_PROB: Final = 0.5  # the segmenter's threshold for an onset
_NO_SPEECH_PROB: Final = 0.35  # the segmenter's threshold for the end of speech
_REACH_S: Final = 0.5  # length that a word spanning seconds covers at each of its ends
_MARGIN_S: Final = 0.2  # error of a word's times
_SILENT_DB, _CLEAR_DB = 6.0, 15.0  # SNR: of a word without speech, of an utterance without noise


class Given(NamedTuple):
    """The text that the model was given beside the audio; on silence it tends to repeat it."""

    prompt: str | None = None
    hotwords: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TextEvidence:
    """The measures of a text that the rules use."""

    hypothesis: Hypothesis
    speech: Speech
    speech_s: float  # seconds of speech, at least _SHORTEST_S
    keys: tuple[str, ...]  # of the text's words or characters
    repetition: Repetition  # the longest of a phrase
    given: Given  # to the model, to decode the text
    wordless_s: float  # longest stretch of speech without a word

    @classmethod
    def of(
        cls,
        hypothesis: Hypothesis,
        utterance: Utterance,
        given: Given,
        task: Task = Task.TRANSCRIBE,
    ) -> TextEvidence:
        """Return the evidence; a translation has no reliable word times."""
        text_keys, speech = tuple(keys(hypothesis.text)), utterance.speech
        timed = hypothesis.words if task is Task.TRANSCRIBE else None
        return cls(
            hypothesis=hypothesis,
            speech=speech,
            speech_s=max(_SHORTEST_S, utterance.speech_s),
            keys=text_keys,
            repetition=longest_repetition(text_keys),
            given=given,
            wordless_s=speech_without_words(speech, timed)[1] if timed else 0.0,
        )

    @property
    def is_faint(self) -> bool:
        """Whether the detector found hardly any speech."""
        return self.speech.mean < _FAINT_MEAN and self.speech_s < _FAINT_S

    @property
    def is_doubtful(self) -> bool:
        """Whether the audio allows rules about the text to suppress it; not enough on its own."""
        return is_doubtful(self.hypothesis) or self.is_faint


def is_doubtful(found: Hypothesis) -> bool:
    """Return whether Whisper's own measures are weak."""
    is_silent = found.no_speech_prob > _DOUBTFUL_NO_SPEECH
    return is_silent or found.avg_logprob < _DOUBTFUL_LOGPROB


def indicates_silence(found: Hypothesis) -> bool:
    """Return whether Whisper's own measures indicate silence."""
    return found.no_speech_prob - _SILENCE_SLOPE * found.avg_logprob > _SILENCE_ABOVE


def _no_speech(evidence: TextEvidence) -> bool:
    return indicates_silence(evidence.hypothesis)


def _weak_detection(evidence: TextEvidence) -> bool:
    return evidence.is_faint and evidence.hypothesis.avg_logprob < _FAINT_LOGPROB


def _guess(evidence: TextEvidence) -> bool:
    short = len(evidence.keys) <= _GUESS_UNITS
    return short and evidence.hypothesis.avg_logprob < _GUESS_LOGPROB


def _no_words(evidence: TextEvidence) -> bool:
    return not evidence.keys


def _silence_phrase(evidence: TextEvidence) -> bool:
    return evidence.is_doubtful and is_silence_phrase(evidence.hypothesis.text)


def _prompt_echo(evidence: TextEvidence) -> bool:
    text, given = evidence.hypothesis.text, evidence.given
    echoes = is_echo(text, given.prompt) or is_hotword_echo(text, given.hotwords)
    return evidence.is_doubtful and echoes


def _nothing_but_a_loop(evidence: TextEvidence) -> bool:
    return evidence.is_doubtful and evidence.repetition.units > _LOOP_SHARE * len(evidence.keys)


def _repetition(evidence: TextEvidence) -> bool:
    return (
        evidence.hypothesis.compression_ratio > MAX_COMPRESSION_RATIO or evidence.repetition.is_loop
    )


def _too_fast(evidence: TextEvidence) -> bool:
    return len(evidence.keys) > _FASTEST * evidence.speech_s


def _speech_without_word(evidence: TextEvidence) -> bool:
    return evidence.wordless_s >= LEFT_OUT_S


def _low_logprob(evidence: TextEvidence) -> bool:
    return evidence.hypothesis.avg_logprob < MIN_AVG_LOGPROB


SUPPRESSING: Final[tuple[tuple[QualityReason, Callable[[TextEvidence], bool]], ...]] = (
    (QualityReason.NO_SPEECH, _no_speech),
    (QualityReason.WEAK_DETECTION, _weak_detection),
    (QualityReason.GUESS, _guess),
    (QualityReason.NO_WORDS, _no_words),
    (QualityReason.SILENCE_PHRASE, _silence_phrase),
    (QualityReason.PROMPT_ECHO, _prompt_echo),
    (QualityReason.REPETITION, _nothing_but_a_loop),
)
REVIEWING: Final[tuple[tuple[QualityReason, Callable[[TextEvidence], bool]], ...]] = (
    (QualityReason.REPETITION, _repetition),
    (QualityReason.SPEECH_WITHOUT_WORD, _speech_without_word),
    (QualityReason.TOO_FAST, _too_fast),
    (QualityReason.LOW_LOGPROB, _low_logprob),
)


def words_without_speech(
    words: tuple[TimedWord, ...], utterance: Utterance, loudness: Loudness
) -> list[TimedWord]:
    """Return the words without speech at their times, nor within their error of 0.2 s."""
    clear = loudness.snr_db >= _CLEAR_DB
    return [word for word in words if _lacks_speech(word, utterance.speech, loudness, clear=clear)]


def _lacks_speech(word: TimedWord, speech: Speech, loudness: Loudness, *, clear: bool) -> bool:
    start_s, end_s = word.start_s - _MARGIN_S, word.end_s + _MARGIN_S
    peak = _peak(speech, start_s, end_s)
    if peak is not None and peak < _NO_SPEECH_PROB:
        return True
    return clear and loudness.above_noise_db(start_s, end_s) < _SILENT_DB


def _peak(speech: Speech, start_s: float, end_s: float) -> float | None:
    """Return the highest speech probability of a stretch, or None if it is not known."""
    windows = speech.probabilities
    first = max(0, int(start_s * 1000 / speech.window_ms))
    end = ceil(end_s * 1000 / speech.window_ms)
    return max(windows[first:end], default=None)


@lru_cache(maxsize=64)  # asked for missing speech, then for the assessment of the same text
def speech_without_words(speech: Speech, words: tuple[TimedWord, ...]) -> tuple[float, float]:
    """Return start and length of the longest stretch of speech with no word near, in seconds."""
    window_s = speech.window_ms / 1000
    uncovered = np.array(speech.probabilities) >= _SPEECH_PROB
    for word in words:
        for start_s, end_s in _covered(word):
            first, end = ceil(start_s / window_s - 0.5), floor(end_s / window_s + 0.5)
            uncovered[max(0, first) : end] = False
    longest = max(_runs(uncovered.tolist()), key=len, default=range(0))
    return longest.start * window_s, len(longest) * window_s


def _covered(word: TimedWord) -> tuple[tuple[float, float], ...]:
    """Return the stretches that a word covers: all of it, or both ends of a long one."""
    start_s, end_s = word.start_s - _MARGIN_S, word.end_s + _MARGIN_S
    head_end_s = min(end_s, word.start_s + _REACH_S)
    tail_start_s = max(start_s, word.end_s - _REACH_S)
    return (start_s, head_end_s), (tail_start_s, end_s)


def _runs(wanted: Sequence[bool]) -> Iterator[range]:
    """Yield the runs of true values."""
    at = 0
    for is_wanted, run in groupby(wanted):
        start, at = at, at + len([*run])
        if is_wanted:
            yield range(start, at)
