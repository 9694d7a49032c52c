"""Speech that a text leaves out, decoded by itself.

Where one speaker follows the other without a pause, Whisper may write one of them and leave out
the other: whole sentences, with every sign of certainty. The words' times show it: for seconds the
detector hears speech where no word is, or where a word is stretched back over all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from consumer.core.audio.utterance import WHISPER_RATE, Speech
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hallucination import LEFT_OUT_S, is_doubtful, speech_without_words
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.units import UNSPACED_LANGUAGES
from schemas.audio import Task

_ROUNDS: Final = 3  # a piece may have a gap, too


_WORD_S: Final = 0.3  # what a stretched word takes: its end, as the alignment waits in front of it


@dataclass(frozen=True, slots=True)
class MissingSpeech:
    """A stretch of a clip, seconds, in which words are missing."""

    start_s: float
    end_s: float
    before: int  # words before it


def transcribed(
    clips: Sequence[DecodeRequest],
    transcribe: Callable[[Sequence[DecodeRequest]], list[Hypothesis]],
    rounds: int = _ROUNDS,
) -> list[Hypothesis]:
    """One hypothesis a clip, in order; what was left out is decoded by itself, and put in."""
    found = transcribe(clips)
    if not rounds:
        return found
    gaps = {
        at: gap for at, clip in enumerate(clips) if (gap := find_missing_speech(clip, found[at]))
    }
    if gaps:
        pieces = [excerpt(clips[at], found[at], gap) for at, gap in gaps.items()]
        written = transcribed(pieces, transcribe, rounds - 1)
        for (at, gap), part in zip(gaps.items(), written, strict=True):
            found[at] = merged(found[at], gap, part)
    return found


def find_missing_speech(clip: DecodeRequest, found: Hypothesis) -> MissingSpeech | None:
    """The longest stretch of speech without a word; None: hardly any, or nobody can tell."""
    comparable = clip.task is Task.TRANSCRIBE and not clip.padded and not found.earlier
    if not comparable or not found.words or clip.speech is None:
        return None
    start_s, seconds = speech_without_words(clip.speech, found.words)
    return _gap(start_s, clip, found.words) if seconds >= LEFT_OUT_S else None


def _gap(speech_s: float, clip: DecodeRequest, words: Sequence[TimedWord]) -> MissingSpeech:
    """From word to word, around speech without a word."""
    before = sum(word.end_s <= speech_s for word in words)
    last_end_s = words[before - 1].end_s if before else 0.0
    if before == len(words):
        return MissingSpeech(last_end_s, clip.seconds, before)
    following = words[before]
    stretched = following.start_s < speech_s
    return MissingSpeech(
        last_end_s, following.end_s - _WORD_S if stretched else following.start_s, before
    )


def excerpt(clip: DecodeRequest, found: Hypothesis, gap: MissingSpeech) -> DecodeRequest:
    """The gap as a clip, in the language of the rest, for one attempt."""
    start, end = (round(at_s * WHISPER_RATE) for at_s in (gap.start_s, gap.end_s))
    return replace(
        clip,
        samples=clip.samples[start:end],
        languages=(found.language,),
        speech=clip.speech and _within(clip.speech, gap),
        earlier=(),
        once=True,
    )


def _within(speech: Speech, gap: MissingSpeech) -> Speech:
    first, behind = (round(1000 * at / speech.window_ms) for at in (gap.start_s, gap.end_s))
    return replace(speech, probabilities=speech.probabilities[first:behind])


def merged(found: Hypothesis, gap: MissingSpeech, written: Hypothesis) -> Hypothesis:
    """With what is written of the gap, if that can be believed."""
    assert found.words is not None
    if written.earlier or not written.words or is_doubtful(written):
        return found
    before, behind = found.words[: gap.before], found.words[gap.before :]
    words = (*before, *_placed(written.words, gap, found.language), *_shrunk(behind, gap))
    ours, theirs = len(found.tokens) + 1, len(written.tokens) + 1
    return replace(
        found,
        text="".join(word.text for word in words),
        tokens=found.tokens + written.tokens,
        avg_logprob=(ours * found.avg_logprob + theirs * written.avg_logprob) / (ours + theirs),
        compression_ratio=max(found.compression_ratio, written.compression_ratio),
        words=words,
        ended=found.ended and written.ended,
    )


def _shrunk(behind: Sequence[TimedWord], gap: MissingSpeech) -> Iterator[TimedWord]:
    for word in behind:
        yield replace(word, start_s=max(word.start_s, gap.end_s))


def _placed(words: Sequence[TimedWord], gap: MissingSpeech, language: str) -> Iterator[TimedWord]:
    apart = " " if gap.before and language not in UNSPACED_LANGUAGES else ""
    for word in words:
        times = (gap.start_s + word.start_s, gap.start_s + word.end_s)
        yield TimedWord(apart + word.text, *times, word.probability)
        apart = ""
