"""Word starts beside openai-whisper's, and whether words are consistent with their text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Final

from bench.engine.accuracy import share
from bench.engine.engines.catalog import OPENAI_ALIGNED, OPENAI_WHISPER, EngineText, Variant
from bench.engine.worker import EngineRunner, Pass
from bench.quality.recordings import Recording, by_language
from consumer.core.text.hypothesis import TimedWord
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import tokens

BATCH: Final = 8
NEAR_S: Final = (0.02, 0.06)
NEAR_SHARE: Final = 0.97  # target: word starts within the last of them
_ROUNDING_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class WordStarts:
    """Word starts in one language against one reference."""

    reference: str  # how openai-whisper was asked: alignment | transcribe
    language: str
    words: int  # of this engine
    apart_s: tuple[float, ...]  # this engine's - the reference's, of the words that both wrote

    @property
    def name(self) -> str:
        return f"{self.language}.word_starts_against_{OPENAI_WHISPER.name}_{self.reference}"

    def near(self, limit_s: float) -> float:
        return share(abs(apart) <= limit_s + _ROUNDING_S for apart in self.apart_s)


@dataclass(frozen=True, slots=True)
class WordTimesResult:
    starts: tuple[WordStarts, ...]
    faulty: int  # clips whose words overlap, leave the clip or do not join to the text

    def figures(self) -> Figures:
        found: Figures = {"words.faulty_clips": self.faulty}
        for one in self.starts:
            found |= {f"{one.name}.words": one.words, f"{one.name}.matched": len(one.apart_s)}
            found |= {f"{one.name}.within_{limit * 1000:g}_ms": one.near(limit) for limit in NEAR_S}
        return found

    def checks(self) -> Iterator[Check]:
        """Yield checks against the alignment of the same text; `transcribe` decodes another one."""
        yield Check("words.faulty_clips", self.faulty, 0)
        for one in self.starts:
            if one.reference == "alignment":
                name = f"{one.name}.within_{NEAR_S[-1] * 1000:g}_ms"
                yield Check(name, one.near(NEAR_S[-1]), NEAR_SHARE, Sense.AT_LEAST)


def measure(variant: Variant, runner: EngineRunner, clips: Sequence[Recording]) -> WordTimesResult:
    """Compare with openai-whisper's alignment of its text, and with its `transcribe`."""
    own, aligned, transcribed = runner.run(
        [
            Pass(variant, clips, BATCH, words=True),
            Pass(OPENAI_ALIGNED, clips, 1, words=True),
            Pass(OPENAI_WHISPER, clips, 1, words=True),
        ]
    )
    starts = [
        _starts(reference, language, clips, own, texts)
        for reference, texts in (("alignment", aligned), ("transcribe", transcribed))
        for language in by_language(clips)
    ]
    faulty = sum(is_faulty(text, clip.seconds) for text, clip in zip(own, clips, strict=True))
    return WordTimesResult(tuple(starts), faulty)


def _starts(
    reference: str,
    language: str,
    clips: Sequence[Recording],
    own: Sequence[EngineText],
    theirs: Sequence[EngineText],
) -> WordStarts:
    pairs = [
        (one.words or (), other.words or ())
        for clip, one, other in zip(clips, own, theirs, strict=True)
        if clip.language == language
    ]
    apart_s = tuple(each for one, other in pairs for each in apart(one, other, language))
    return WordStarts(reference, language, sum(len(words) for words, _ in pairs), apart_s)


def apart(one: Sequence[TimedWord], other: Sequence[TimedWord], language: str) -> Iterator[float]:
    """Yield the differences, in seconds, of the starts of words that both have in one order."""
    ours, theirs = ([" ".join(tokens(w.text, language)) for w in words] for words in (one, other))
    matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            yield one[block.a + step].start_s - other[block.b + step].start_s


def is_faulty(written: EngineText, seconds: float) -> bool:
    """Return whether words overlap, leave the clip or do not join to the text."""
    words = written.words or ()
    overlap = any(later.start_s < word.end_s for word, later in pairwise(words))
    backwards = any(word.end_s < word.start_s for word in words)
    outside = any(word.start_s < 0 or word.end_s > seconds + _ROUNDING_S for word in words)
    return overlap or backwards or outside or "".join(w.text for w in words) != written.text
