"""Error rates beside openai-whisper's own, and how much folding and batching change a text."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.table import Table

from bench.bootstrap import Difference, paired
from bench.engines.catalog import OPENAI_WHISPER, Heard, ours
from bench.recordings import Recording, scores
from bench.worker import Stand
from evaluation.report import Check, Figures, Sense, table
from evaluation.scoring import Score, tokens, total

BATCH: Final = 8  # of the error rates
BATCHES: Final = (1, 16)  # that should not change a text
WORSE_POINTS: Final = {"fp32": 0.3}  # most that issue B allows against openai-whisper
WORSE_POINTS_HALF: Final = 0.6  # in 16 bits
SAME_SHARE: Final = {"fp32": 0.99}  # least that issue B allows between the two batches
SAME_SHARE_HALF: Final = 0.94
SEED: Final = 4


@dataclass(frozen=True, slots=True)
class Agreement:
    """One dtype of this engine in one language."""

    dtype: str
    language: str
    reference: tuple[Score, ...]  # of openai-whisper, by clip
    folded: tuple[Score, ...]
    padded: tuple[Score, ...]
    as_padded: float  # share of clips whose normalised text is that of the padded decode
    served: tuple[Score, ...]  # folded, and padded where the folded text cannot be trusted
    again: float  # share of clips where it could not

    @property
    def name(self) -> str:
        return f"{self.language}.streamscribe-{self.dtype}"

    @property
    def worse(self) -> Difference:
        return paired(self.served, self.reference)

    @property
    def folded_worse(self) -> Difference:
        return paired(self.folded, self.reference)

    @property
    def worse_than_padded(self) -> Difference:
        return paired(self.folded, self.padded)


@dataclass(frozen=True, slots=True)
class Measured:
    agreements: tuple[Agreement, ...]
    same: Mapping[str, float]  # by dtype: share of clips with one text in both BATCHES
    mixed: int  # clips of that


def work_s(dtypes: Sequence[str], scored: Sequence[Recording], mixed: Sequence[Recording]) -> float:
    scored_s, mixed_s = (sum(clip.seconds for clip in clips) for clips in (scored, mixed))
    return scored_s + len(dtypes) * (3 * scored_s + len(BATCHES) * mixed_s)


def measure(
    dtypes: Sequence[str], stand: Stand, scored: Sequence[Recording], mixed: Sequence[Recording]
) -> Measured:
    """`scored` are clips of SCORED languages, `mixed` of any that the model knows."""
    (reference,) = stand.heard(OPENAI_WHISPER, (scored, 1))
    shuffled = random.Random(SEED).sample(mixed, len(mixed))
    agreements: list[Agreement] = []
    same = {}
    for dtype in dtypes:
        (padded,) = stand.heard(ours(dtype, folded=False), (scored, BATCH))
        folded, *both = stand.heard(
            ours(dtype), (scored, BATCH), *((shuffled, size) for size in BATCHES)
        )
        (served,) = stand.heard(ours(dtype, again=True), (scored, BATCH))
        agreements += _agreements(dtype, scored, reference, folded, padded, served)
        same[dtype] = share(one.text == other.text for one, other in zip(*both, strict=True))
    return Measured(tuple(agreements), same, len(mixed))


def _agreements(
    dtype: str,
    clips: Sequence[Recording],
    reference: Sequence[Heard],
    folded: Sequence[Heard],
    padded: Sequence[Heard],
    served: Sequence[Heard],
) -> Iterator[Agreement]:
    for language in dict.fromkeys(clip.language for clip in clips):
        at = [index for index, clip in enumerate(clips) if clip.language == language]
        spoken = [clips[index] for index in at]
        theirs, once, whole, best = (
            tuple(scores(spoken, [heard[index].text for index in at]))
            for heard in (reference, folded, padded, served)
        )
        as_padded = share(alike(folded[i].text, padded[i].text, language) for i in at)
        again = share(served[i].again for i in at)
        yield Agreement(dtype, language, theirs, once, whole, as_padded, best, again)


def alike(one: str, other: str, language: str) -> bool:
    """Whether two texts are one to whoever counts errors."""
    return tokens(one, language) == tokens(other, language)


def share(answers: Iterable[bool]) -> float:
    """Of those that are yes; of none it is 1."""
    counted = list(answers)
    return sum(counted) / len(counted) if counted else 1.0


def figures(measured: Measured) -> Figures:
    found: Figures = {"batch_invariance.clips": measured.mixed}
    found |= {f"streamscribe-{d}.batch_1_and_16_same": s for d, s in measured.same.items()}
    for one in measured.agreements:
        found |= {
            f"{one.language}.clips": len(one.reference),
            f"{one.language}.openai-whisper.error_percent": percent(one.reference),
            f"{one.name}.error_percent": percent(one.served),
            f"{one.name}.decoded_again": one.again,
            f"{one.name}.folded_error_percent": percent(one.folded),
            f"{one.name}.padded_error_percent": percent(one.padded),
            f"{one.name}.same_text_as_padded": one.as_padded,
            **difference_figures(f"{one.name}.worse", one.worse),
            **difference_figures(f"{one.name}.folded_worse", one.folded_worse),
            **difference_figures(f"{one.name}.worse_than_padded", one.worse_than_padded),
        }
    return found


def difference_figures(name: str, found: Difference) -> Figures:
    return {
        f"{name}_points": found.points,
        f"{name}_low_points": found.low_points,
        f"{name}_high_points": found.high_points,
    }


def percent(counted: Sequence[Score]) -> float:
    return 100 * total(counted).rate


def checks(measured: Measured) -> Iterator[Check]:
    for one in measured.agreements:
        limit = WORSE_POINTS.get(one.dtype, WORSE_POINTS_HALF)
        yield Check(f"{one.name}.worse_points", one.worse.points, limit)
    for dtype, same in measured.same.items():
        least = SAME_SHARE.get(dtype, SAME_SHARE_HALF)
        name = f"streamscribe-{dtype}.batch_1_and_16_same"
        yield Check(name, same, least, Sense.AT_LEAST)


def tables(measured: Measured) -> Iterator[Table]:
    shown = table(
        "error rates, %, beside openai-whisper's; differences in points with 95 % intervals",
        *("", "openai", "padded", "folded", "folded - padded", "as padded", "folded - openai"),
        *("again", "served", "served - openai"),
    )
    for one in measured.agreements:
        rates = (percent(scored) for scored in (one.reference, one.padded, one.folded))
        differences = (str(one.worse_than_padded), f"{one.as_padded:.1%}", str(one.folded_worse))
        served = (f"{one.again:.1%}", f"{percent(one.served):.2f}", str(one.worse))
        name = f"{one.language} {one.dtype}"
        shown.add_row(name, *(f"{rate:.2f}" for rate in rates), *differences, *served)
    yield shown
