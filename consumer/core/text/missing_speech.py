"""Speech that a text leaves out: where it is, and how the text of that stretch is put in.

Where one speaker follows another without a pause, Whisper may write one of them and leave out the
other: whole sentences, with every sign of certainty. The words' times show it: for seconds the
detector hears speech where no word is, or where one word is stretched over all of it. Such a
stretch is decoded by itself (`core.partition.utterances`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumer.core.audio.utterance import Speech, Utterance
from consumer.core.text.hallucination import LEFT_OUT_S, is_doubtful, speech_without_words
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import UNSPACED_LANGUAGES

MAX_EXCERPTS: Final = 3  # nested: the text of a stretch may leave speech out, too
_WORD_S: Final = 0.3  # length of a stretched word, at its end: the alignment waits before it


@dataclass(frozen=True, slots=True)
class MissingSpeech:
    """A stretch of an utterance in which words are missing, in seconds from its start."""

    start_s: float
    end_s: float
    before: int  # number of words before it


def find_missing_speech(speech: Speech, seconds: float, found: Hypothesis) -> MissingSpeech | None:
    """Return the longest stretch of speech without a word in an utterance of `seconds`.

    None: there is hardly any, the text has no word times, or it is to be decoded again anyway.
    """
    if found.earlier or not found.words:
        return None
    start_s, missing_s = speech_without_words(speech, found.words)
    return _stretch(start_s, seconds, found.words) if missing_s >= LEFT_OUT_S else None


def _stretch(speech_s: float, seconds: float, words: Sequence[TimedWord]) -> MissingSpeech:
    """Return the stretch from word to word around speech without a word."""
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
    """Return what the detector heard in the stretch."""
    first, end = (round(1000 * at / speech.window_ms) for at in (missing.start_s, missing.end_s))
    return replace(speech, probabilities=speech.probabilities[first:end])


def merged(found: Hypothesis, missing: MissingSpeech, part: Hypothesis) -> Hypothesis:
    """Return the text with that of the stretch in its place, or as it is if `part` is doubtful."""
    assert found.words is not None
    if part.earlier or not part.words or is_doubtful(part):
        return found
    before, after = found.words[: missing.before], found.words[missing.before :]
    words = (*before, *_placed(part.words, missing, found.language), *_shrunk(after, missing))
    ours, theirs = len(found.tokens) + 1, len(part.tokens) + 1
    return replace(
        found,
        text="".join(word.text for word in words),
        tokens=found.tokens + part.tokens,
        avg_logprob=(ours * found.avg_logprob + theirs * part.avg_logprob) / (ours + theirs),
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
