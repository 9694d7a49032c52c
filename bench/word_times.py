"""Word starts beside openai-whisper's own, and whether words are what they promise to be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Final

from rich.table import Table

from bench.accuracy import share
from bench.engines.catalog import OPENAI_WHISPER, OPENAI_WORDS, Heard, Variant
from bench.recordings import Recording
from bench.worker import Stand
from consumer.core.text.hypothesis import TimedWord
from evaluation.report import Check, Figures, Sense, table
from evaluation.scoring import tokens

BATCH: Final = 8
NEAR_S: Final = (0.02, 0.06)
NEAR_SHARE: Final = 0.97  # least share of word starts within the last of them, of issue B
_ROUNDING_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Starts:
    """Word starts of one language against one reference."""

    reference: str
    language: str
    words: int  # of ours
    apart_s: tuple[float, ...]  # ours - theirs, of the words that both wrote

    @property
    def name(self) -> str:
        return f"{self.language}.word_starts_against_{self.reference}"

    def near(self, limit_s: float) -> float:
        return share(abs(apart) <= limit_s + _ROUNDING_S for apart in self.apart_s)


@dataclass(frozen=True, slots=True)
class Measured:
    starts: tuple[Starts, ...]
    faults: int  # clips whose words overlap, leave the clip or do not join to the text


def work_s(clips: Sequence[Recording]) -> float:
    return 3 * sum(clip.seconds for clip in clips)


def measure(variant: Variant, stand: Stand, clips: Sequence[Recording]) -> Measured:
    """Our words against those of two ways to ask openai-whisper."""
    (ours,) = stand.heard(variant, (clips, BATCH), words=True)
    (aligned,) = stand.heard(OPENAI_WORDS, (clips, 1), words=True)
    (transcribed,) = stand.heard(OPENAI_WHISPER, (clips, 1), words=True)
    theirs = {"alignment": aligned, "transcribe": transcribed}
    starts = [
        _starts(f"{OPENAI_WHISPER.name}_{way}", language, clips, ours, heard)
        for way, heard in theirs.items()
        for language in dict.fromkeys(clip.language for clip in clips)
    ]
    faults = sum(faulty(heard, clip.seconds) for heard, clip in zip(ours, clips, strict=True))
    return Measured(tuple(starts), faults)


def _starts(
    reference: str,
    language: str,
    clips: Sequence[Recording],
    ours: Sequence[Heard],
    theirs: Sequence[Heard],
) -> Starts:
    words = 0
    apart_s: list[float] = []
    for clip, our, their in zip(clips, ours, theirs, strict=True):
        if clip.language == language:
            words += len(our.words or ())
            apart_s += apart(our.words or (), their.words or (), language)
    return Starts(reference, language, words, tuple(apart_s))


def apart(ours: Sequence[TimedWord], theirs: Sequence[TimedWord], language: str) -> Iterator[float]:
    """Differences of the starts of words that both have in one order, seconds."""
    our, their = ([" ".join(tokens(w.text, language)) for w in words] for words in (ours, theirs))
    matcher = SequenceMatcher(None, our, their, autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            yield ours[block.a + step].start_s - theirs[block.b + step].start_s


def faulty(heard: Heard, seconds: float) -> bool:
    """Whether words are not what they promise to be."""
    words = heard.words or ()
    overlap = any(later.start_s < word.end_s for word, later in pairwise(words))
    backwards = any(word.end_s < word.start_s for word in words)
    outside = any(word.start_s < 0 or word.end_s > seconds + _ROUNDING_S for word in words)
    return overlap or backwards or outside or "".join(w.text for w in words) != heard.text


def figures(measured: Measured) -> Figures:
    found: Figures = {"words.faulty_clips": measured.faults}
    for one in measured.starts:
        found |= {f"{one.name}.words": one.words, f"{one.name}.matched": len(one.apart_s)}
        found |= {f"{one.name}.within_{limit * 1000:g}_ms": one.near(limit) for limit in NEAR_S}
    return found


def checks(measured: Measured) -> Iterator[Check]:
    """Against openai-whisper's alignment of the same text; `transcribe` decodes another one."""
    yield Check("words.faulty_clips", measured.faults, 0)
    for one in measured.starts:
        if one.reference.endswith("alignment"):
            name = f"{one.name}.within_{NEAR_S[-1] * 1000:g}_ms"
            yield Check(name, one.near(NEAR_S[-1]), NEAR_SHARE, Sense.AT_LEAST)


def tables(measured: Measured) -> Iterator[Table]:
    limits = (f"within {limit * 1000:g} ms" for limit in NEAR_S)
    title = "word starts, beside those of openai-whisper"
    shown = table(title, "language", "by its", "words", "in both", *limits)
    for one in measured.starts:
        near = (f"{one.near(limit):.1%}" for limit in NEAR_S)
        shown.add_row(
            one.language,
            one.reference.rpartition("_")[2],
            str(one.words),
            str(len(one.apart_s)),
            *near,
        )
    yield shown
