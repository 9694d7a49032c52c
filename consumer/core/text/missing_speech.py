"""Speech that a text leaves out: finding it, and merging the text of its own decode.

If two speakers follow each other without a pause, Whisper may transcribe only one of them: whole
sentences are missing, at high probabilities. The word times show it: seconds of detected speech
without a word, or with one word that spans all of it. Such a stretch is decoded on its own
(`core.partition.utterances`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumer.core.audio.utterance import Speech, Utterance
from consumer.core.text.hallucination import LEFT_OUT_S, is_doubtful, speech_without_words
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import UNSPACED_LANGUAGES

MAX_EXCERPTS: Final = 3  # nested: the text of an excerpt may leave out speech, too
_WORD_S: Final = 0.3  # length left to a stretched word, which is spoken at its end


@dataclass(frozen=True, slots=True)
class MissingSpeech:
    """A stretch of an utterance in which words are missing, in seconds from its start."""

    start_s: float
    end_s: float
    before: int  # number of words before it


def find_missing_speech(speech: Speech, seconds: float, found: Hypothesis) -> MissingSpeech | None:
    """Return the longest stretch of speech without a word in an utterance of `seconds`.

    Return None if it is short, if the text has no word times, or if it is decoded again anyway.
    """
    if found.earlier or not found.words:
        return None
    start_s, missing_s = speech_without_words(speech, found.words)
    return _stretch(start_s, seconds, found.words) if missing_s >= LEFT_OUT_S else None


def _stretch(speech_s: float, seconds: float, words: Sequence[TimedWord]) -> MissingSpeech:
    """Return the stretch between the words around `speech_s`."""
    before = sum(word.end_s <= speech_s for word in words)
    last_end_s = words[before - 1].end_s if before else 0.0
    if before == len(words):
        return MissingSpeech(last_end_s, seconds, before)
    following = words[before]
    stretched = following.start_s < speech_s
    return MissingSpeech(
        last_end_s, following.end_s - _WORD_S if stretched else following.start_s, before
    )


def excerpt(utterance: Utterance, missing: MissingSpeech) -> Utterance:
    """Return the stretch as an utterance."""
    first, end = (round(at_s * utterance.rate) for at_s in (missing.start_s, missing.end_s))
    samples = utterance.samples[first:end]
    start = utterance.start + first
    return replace(
        utterance,
        start=start,
        end=start + len(samples),
        speech_end=start + len(samples),
        samples=samples,
        speech=within(utterance.speech, missing),
    )


def within(speech: Speech, missing: MissingSpeech) -> Speech:
    """Return the detector's scores of the stretch."""
    first, end = (round(1000 * at / speech.window_ms) for at in (missing.start_s, missing.end_s))
    return replace(speech, probabilities=speech.probabilities[first:end])


def merged(found: Hypothesis, missing: MissingSpeech, part: Hypothesis) -> Hypothesis:
    """Return the text with that of the stretch inserted, or unchanged if `part` is doubtful."""
    assert found.words is not None
    if part.earlier or not part.words or is_doubtful(part):
        return found
    before, after = found.words[: missing.before], found.words[missing.before :]
    words = (*before, *_placed(part.words, missing, found.language), *_shrunk(after, missing))
    found_n, part_n = len(found.tokens) + 1, len(part.tokens) + 1
    return replace(
        found,
        text="".join(word.text for word in words),
        tokens=found.tokens + part.tokens,
        avg_logprob=(found_n * found.avg_logprob + part_n * part.avg_logprob) / (found_n + part_n),
        compression_ratio=max(found.compression_ratio, part.compression_ratio),
        words=words,
        ended=found.ended and part.ended,
    )


def _shrunk(after: Sequence[TimedWord], missing: MissingSpeech) -> Iterator[TimedWord]:
    for word in after:
        yield replace(word, start_s=max(word.start_s, missing.end_s))


def _placed(
    words: Sequence[TimedWord], missing: MissingSpeech, language: str
) -> Iterator[TimedWord]:
    space = " " if missing.before and language not in UNSPACED_LANGUAGES else ""
    for word in words:
        times = (missing.start_s + word.start_s, missing.start_s + word.end_s)
        yield TimedWord(space + word.text, *times, word.probability)
        space = ""
