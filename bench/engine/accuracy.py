"""Error rates beside openai-whisper's, and how much folding and batching change a text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.engine.engines.catalog import OPENAI_WHISPER, EngineText, streamscribe
from bench.engine.worker import EngineRunner, Pass
from bench.quality.bootstrap import Difference, paired
from bench.quality.recordings import Recording, by_language, scores
from evaluation.report import Check, Figures, Sense
from evaluation.scoring import Score, tokens, total

BATCH: Final = 8  # for the error rates
BATCHES: Final = (1, 16)  # between which a text should not change
# Targets, by dtype and of others: points above openai-whisper's error rate, and the share of clips
# with the same text in both batches.
WORSE_POINTS: Final = {"fp32": 0.3}
WORSE_POINTS_OTHERS: Final = 0.6
SAME_SHARE: Final = {"fp32": 0.99}
SAME_SHARE_OTHERS: Final = 0.94
SEED: Final = 4


@dataclass(frozen=True, slots=True)
class LanguageAccuracy:
    """One dtype of this engine in one language; scores by clip."""

    dtype: str
    language: str
    reference: tuple[Score, ...]  # of openai-whisper
    folded: tuple[Score, ...]
    padded: tuple[Score, ...]
    served: tuple[Score, ...]  # folded, and padded where the folded text is not accepted
    same_as_padded: float  # share of clips whose normalised text is that of the padded decode
    redecoded: float  # share of clips where it is not

    @property
    def name(self) -> str:
        return f"{self.language}.streamscribe-{self.dtype}"

    @property
    def worse(self) -> Difference:
        return paired(self.served, self.reference)

    def figures(self) -> Figures:
        return {
            f"{self.language}.clips": len(self.reference),
            f"{self.language}.openai-whisper.error_percent": percent(self.reference),
            f"{self.name}.error_percent": percent(self.served),
            f"{self.name}.decoded_again": self.redecoded,
            f"{self.name}.folded_error_percent": percent(self.folded),
            f"{self.name}.padded_error_percent": percent(self.padded),
            f"{self.name}.same_text_as_padded": self.same_as_padded,
            **self.worse.figures(f"{self.name}.worse"),
            **paired(self.folded, self.reference).figures(f"{self.name}.folded_worse"),
            **paired(self.folded, self.padded).figures(f"{self.name}.worse_than_padded"),
        }


@dataclass(frozen=True, slots=True)
class AccuracyResult:
    languages: tuple[LanguageAccuracy, ...]
    same: Mapping[str, float]  # by dtype: share of clips with one text in both BATCHES
    mixed: int  # clips of that

    def figures(self) -> Figures:
        found: Figures = {"batch_invariance.clips": self.mixed}
        found |= {f"streamscribe-{d}.batch_1_and_16_same": same for d, same in self.same.items()}
        for each in self.languages:
            found |= each.figures()
        return found

    def checks(self) -> Iterator[Check]:
        for each in self.languages:
            limit = WORSE_POINTS.get(each.dtype, WORSE_POINTS_OTHERS)
            yield Check(f"{each.name}.worse_points", each.worse.points, limit)
        for dtype, same in self.same.items():
            least = SAME_SHARE.get(dtype, SAME_SHARE_OTHERS)
            name = f"streamscribe-{dtype}.batch_1_and_16_same"
            yield Check(name, same, least, Sense.AT_LEAST)


def measure(
    dtypes: Sequence[str],
    runner: EngineRunner,
    scored: Sequence[Recording],
    mixed: Sequence[Recording],
) -> AccuracyResult:
    """`scored`: clips of SCORED languages; `mixed`: clips of any language of the model."""
    shuffled = random.Random(SEED).sample(mixed, len(mixed))
    texts = iter(
        runner.run(
            [
                Pass(OPENAI_WHISPER, scored, 1),
                *(work for dtype in dtypes for work in _passes(dtype, scored, shuffled)),
            ]
        )
    )
    reference = next(texts)
    languages: list[LanguageAccuracy] = []
    same = {}
    for dtype in dtypes:
        padded, folded, alone, batched, served = (next(texts) for _ in range(5))
        languages += _by_language(dtype, scored, reference, folded, padded, served)
        same[dtype] = share(a.text == b.text for a, b in zip(alone, batched, strict=True))
    return AccuracyResult(tuple(languages), same, len(mixed))


def _passes(dtype: str, scored: Sequence[Recording], mixed: Sequence[Recording]) -> Iterator[Pass]:
    yield Pass(streamscribe(dtype, folded=False), scored, BATCH)
    yield Pass(streamscribe(dtype), scored, BATCH)
    yield from (Pass(streamscribe(dtype), mixed, size) for size in BATCHES)
    yield Pass(streamscribe(dtype, redecode=True), scored, BATCH)


def _by_language(
    dtype: str,
    clips: Sequence[Recording],
    reference: Sequence[EngineText],
    folded: Sequence[EngineText],
    padded: Sequence[EngineText],
    served: Sequence[EngineText],
) -> Iterator[LanguageAccuracy]:
    for language, at in by_language(clips).items():
        yield LanguageAccuracy(
            dtype,
            language,
            reference=_scores(clips, reference, at),
            folded=_scores(clips, folded, at),
            padded=_scores(clips, padded, at),
            served=_scores(clips, served, at),
            same_as_padded=share(is_same(folded[i].text, padded[i].text, language) for i in at),
            redecoded=share(served[i].redecoded for i in at),
        )


def _scores(
    clips: Sequence[Recording], texts: Sequence[EngineText], at: Sequence[int]
) -> tuple[Score, ...]:
    return tuple(scores([clips[i] for i in at], [texts[i].text for i in at]))


def is_same(one: str, other: str, language: str) -> bool:
    """Return whether two texts are equal to an error rate."""
    return tokens(one, language) == tokens(other, language)


def share(answers: Iterable[bool]) -> float:
    """Return the share of answers that are true; 1 without any."""
    counted = list(answers)
    return sum(counted) / len(counted) if counted else 1.0


def percent(counted: Sequence[Score]) -> float:
    return 100 * total(counted).rate
