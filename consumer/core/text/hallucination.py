"""What speaks against a text: layers of evidence, each with a reason of its own.

Whisper writes something for any sound. A layer tells by what an utterance sounds like, or by what
the text is like, that nothing was said; layers of the second kind need evidence of the first kind
too, because people do thank each other, and repeat themselves. docs/quality.md says what each layer
finds, and how much true speech it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, floor
from typing import Final

import numpy as np

from consumer.core.audio.loudness import Loudness
from consumer.core.audio.utterance import Speech, Utterance
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.patterns import Repetition, is_echo, is_silence_phrase, longest_repetition
from consumer.core.text.units import keys
from schemas.audio import Task
from schemas.transcript import QualityReason

# openai-whisper's thresholds, transcribe.py: for a verdict here, for another decode in the engine.
MAX_COMPRESSION_RATIO: Final = 2.4  # above it the text repeats itself


MIN_AVG_LOGPROB: Final = -1.0  # below it the model guesses


MAX_NO_SPEECH_PROB: Final = 0.6  # above it a guess is silence


# Through the corner of its two, a line that parts speech from the rest better than the corner does.
_SILENCE_SLOPE: Final = 0.5  # of avg_logprob, beside no_speech_prob


_SILENCE_ABOVE: Final = MAX_NO_SPEECH_PROB - _SILENCE_SLOPE * MIN_AVG_LOGPROB


_FAINT_MEAN: Final = 0.3  # mean speech probability; of true speech with its pauses 0.36 or more


_FAINT_S: Final = 0.5  # of speech; with more of it a low mean is one of long pauses


_FAINT_LOGPROB: Final = -0.5


_GUESS_UNITS, _GUESS_LOGPROB = 3, -1.1


_DOUBTFUL_NO_SPEECH, _DOUBTFUL_LOGPROB = 0.4, -0.7


_WHOLE: Final = 0.8  # share of a text that is as good as all of it


_FASTEST: Final = 10.0  # words, in Chinese characters, a second of speech; speech has 3 to 6


_SHORTEST_S: Final = 0.3  # of speech, to count words a second in


LEFT_OUT_S: Final = 1.0  # of speech without a word; where nothing is left out it is at most 0.5


_SPOKEN: Final = 0.5  # speech probability, the detector's own for the beginning of speech


_REACH_S: Final = 0.5  # what a word that is stretched over seconds covers at each of its ends


_MARGIN_S: Final = 0.2  # how far a word's times are off


_UNHEARD: Final = 0.35  # speech probability, the detector's own for the end of speech


_SILENT_DB, _CLEAR_DB = 6.0, 15.0  # above the noise; a word, and an utterance that has hardly any


@dataclass(frozen=True, slots=True, eq=False)
class TextEvidence:
    """All that is known of a text."""

    hypothesis: Hypothesis
    speech: Speech
    speech_s: float  # heard as speech
    said: tuple[str, ...]  # the text's words or characters
    run: Repetition  # of a phrase that comes several times in a row
    prompt: str | None  # that the text was to follow
    wordless_s: float  # the longest stretch of speech without a word

    @classmethod
    def of(
        cls,
        hypothesis: Hypothesis,
        utterance: Utterance,
        prompt: str | None,
        task: Task = Task.TRANSCRIBE,
    ) -> TextEvidence:
        said, speech = tuple(keys(hypothesis.text)), utterance.speech
        timed = hypothesis.words if task is Task.TRANSCRIBE else None  # of a translation: guesses
        return cls(
            hypothesis,
            speech,
            max(_SHORTEST_S, utterance.speech_s),
            said,
            longest_repetition(said),
            prompt,
            speech_without_words(speech, timed)[1] if timed else 0.0,
        )

    @property
    def is_faint(self) -> bool:
        """Whether the detector heard hardly any speech."""
        return self.speech.mean < _FAINT_MEAN and self.speech_s < _FAINT_S

    @property
    def is_doubtful(self) -> bool:
        """Not enough to suppress a text; enough to believe what the text itself says against it."""
        return is_doubtful(self.hypothesis) or self.is_faint


def is_doubtful(found: Hypothesis) -> bool:
    """Whisper's own doubt."""
    doubts_speech = found.no_speech_prob > _DOUBTFUL_NO_SPEECH
    return doubts_speech or found.avg_logprob < _DOUBTFUL_LOGPROB


def indicates_silence(found: Hypothesis) -> bool:
    """Whisper's own opinion."""
    return found.no_speech_prob - _SILENCE_SLOPE * found.avg_logprob > _SILENCE_ABOVE


def _no_speech(evidence: TextEvidence) -> bool:
    return indicates_silence(evidence.hypothesis)


def _weak_detection(evidence: TextEvidence) -> bool:
    return evidence.is_faint and evidence.hypothesis.avg_logprob < _FAINT_LOGPROB


def _guess(evidence: TextEvidence) -> bool:
    short = len(evidence.said) <= _GUESS_UNITS
    return short and evidence.hypothesis.avg_logprob < _GUESS_LOGPROB


def _no_words(evidence: TextEvidence) -> bool:
    return not evidence.said


def _silence_phrase(evidence: TextEvidence) -> bool:
    return evidence.is_doubtful and is_silence_phrase(evidence.hypothesis.text)


def _prompt_echo(evidence: TextEvidence) -> bool:
    return evidence.is_doubtful and is_echo(evidence.hypothesis.text, evidence.prompt)


def _nothing_but_a_loop(evidence: TextEvidence) -> bool:
    return evidence.is_doubtful and evidence.run.units > _WHOLE * len(evidence.said)


def _repetition(evidence: TextEvidence) -> bool:
    return evidence.hypothesis.compression_ratio > MAX_COMPRESSION_RATIO or evidence.run.is_loop


def _too_fast(evidence: TextEvidence) -> bool:
    return len(evidence.said) > _FASTEST * evidence.speech_s


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
    """Words with no speech under them, nor within 0.2 s of them, which Whisper's times are off."""
    clear = loudness.snr_db >= _CLEAR_DB
    return [word for word in words if _lacks_speech(word, utterance.speech, loudness, clear=clear)]


def _lacks_speech(word: TimedWord, speech: Speech, loudness: Loudness, *, clear: bool) -> bool:
    start_s, end_s = word.start_s - _MARGIN_S, word.end_s + _MARGIN_S
    heard = _peak(speech, start_s, end_s)
    if heard is not None and heard < _UNHEARD:
        return True
    return clear and loudness.above_noise_db(start_s, end_s) < _SILENT_DB


def _peak(speech: Speech, start_s: float, end_s: float) -> float | None:
    """The highest speech probability of a stretch; None: not known."""
    windows = speech.probabilities
    first = max(0, int(start_s * 1000 / speech.window_ms))
    behind = ceil(end_s * 1000 / speech.window_ms)
    return max(windows[first:behind], default=None)


def speech_without_words(speech: Speech, words: Sequence[TimedWord]) -> tuple[float, float]:
    """The longest stretch of speech with no word near: where it begins, and its length, seconds."""
    window_s = speech.window_ms / 1000
    silent = np.array(speech.probabilities) >= _SPOKEN
    for word in words:
        for start_s, end_s in _covered(word):
            silent[max(0, ceil(start_s / window_s - 0.5)) : floor(end_s / window_s + 0.5)] = False
    longest = max(_runs(silent.tolist()), key=len, default=range(0))
    return longest.start * window_s, len(longest) * window_s


def _covered(word: TimedWord) -> tuple[tuple[float, float], ...]:
    start_s, end_s = word.start_s - _MARGIN_S, word.end_s + _MARGIN_S
    return (start_s, min(end_s, word.start_s + _REACH_S)), (
        max(start_s, word.end_s - _REACH_S),
        end_s,
    )


def _runs(wanted: Sequence[bool]) -> Iterator[range]:
    at = 0
    for is_wanted, run in groupby(wanted):
        start, at = at, at + len([*run])
        if is_wanted:
            yield range(start, at)
