"""Error rates of live text beside the decode of whole clips, and errors at cuts. Pure.

For errors at cuts both texts are aligned with the reference (Levenshtein, as for error rates). Only
words that the whole-clip decode has right count: what the model cannot recognise is not an error of
the cut.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import accumulate
from operator import add
from typing import Final

import jiwer

from bench.quality.bootstrap import paired
from evaluation.report import Check, Figures, prefixed
from evaluation.scoring import score, tokens, total, unit_of

WORSE_POINTS: Final = 1.5  # target: of error rate, live above whole clips
NEAR: Final = 2  # words on each side of a cut that count
_REPEAT: Final = 3  # an inserted word is doubled if it occurs within so many words beside it


@dataclass(frozen=True, slots=True)
class TextPair:
    """The live text of a clip or recording, and that of its clips decoded whole."""

    language: str
    reference: str
    whole: str
    live: str


def text_figures(pairs: Iterable[TextPair]) -> Figures:
    """Return error rates in percent, and their difference in points with its interval."""
    groups: defaultdict[str, list[TextPair]] = defaultdict(list)
    for pair in pairs:
        groups[pair.language].append(pair)
    figures: Figures = {}
    for language, group in groups.items():
        figures |= prefixed(f"{language}.", _language_figures(language, group))
    return figures


def _language_figures(language: str, pairs: Sequence[TextPair]) -> Figures:
    live = [score(pair.reference, pair.live, language) for pair in pairs]
    whole = [score(pair.reference, pair.whole, language) for pair in pairs]
    against = [score(p.whole, p.live, language) for p in pairs if tokens(p.whole, language)]
    rate = unit_of(language).rate_name.lower()
    return {
        f"{rate}_percent": 100 * total(live).rate,
        f"whole_{rate}_percent": 100 * total(whole).rate,
        f"{rate}_against_whole_percent": 100 * total(against).rate if against else None,
        **paired(live, whole).figures("worse"),
    }


def text_checks(figures: Figures) -> Iterator[Check]:
    for name, value in figures.items():
        if name.endswith(".worse_points"):
            title = f"live error rate above whole clips', {name}"
            yield Check(title, float(value or 0), WORSE_POINTS)


@dataclass(frozen=True, slots=True)
class CutErrors:
    """Errors at the cuts of a text, in words, or characters for Chinese."""

    cuts: int = 0
    lost: int = 0  # right in the whole-clip decode, absent live
    doubled: int = 0  # not in the reference, and equal to a word beside it
    changed: int = 0  # right in the whole-clip decode, another word live

    def __add__(self, other: CutErrors) -> CutErrors:
        return CutErrors(*map(add, astuple(self), astuple(other)))

    def __str__(self) -> str:
        return f"{self.lost} / {self.doubled} / {self.changed}"

    def figures(self) -> Figures:
        return {
            "cuts": self.cuts,
            "words_lost_at_cuts": self.lost,
            "words_doubled_at_cuts": self.doubled,
            "words_changed_at_cuts": self.changed,
        }


def cut_errors(
    reference: Sequence[str],
    whole: Sequence[str],
    pieces: Sequence[Sequence[str]],
    forced: Iterable[int],
) -> CutErrors:
    """Count errors near the ends of pieces.

    `pieces`: the words of each final, in order; `forced`: the pieces whose ends are cuts.
    """
    ends = [*accumulate(map(len, pieces))]
    cuts = [ends[index] for index in forced]
    live = [word for piece in pieces for word in piece]
    if not reference or not live or not cuts:
        return CutErrors(cuts=len(cuts))
    right = _recognised(reference, whole)
    counts: Counter[str] = Counter()
    for kind, ref, hyp in _edits(reference, live):
        if not any(cut - NEAR <= hyp < cut + NEAR for cut in cuts):
            continue
        if kind == "insert":
            counts["doubled"] += _is_repeated(live, hyp)
        elif ref in right:
            counts["lost" if kind == "delete" else "changed"] += 1
    return CutErrors(len(cuts), **counts)


def _is_repeated(words: Sequence[str], index: int) -> bool:
    before, after = words[max(0, index - _REPEAT) : index], words[index + 1 :][:_REPEAT]
    return words[index] in (*before, *after)


def _recognised(reference: Sequence[str], hypothesis: Sequence[str]) -> set[int]:
    """Return the indices of the reference's words that the hypothesis has."""
    if not hypothesis:
        return set()
    wrong = {ref for kind, ref, _ in _edits(reference, hypothesis) if kind != "insert"}
    return {*range(len(reference))} - wrong


def _edits(reference: Sequence[str], hypothesis: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield kind, index in the reference and index in the hypothesis of every edit.

    Where one side lacks the word, its index is that of the word before which it would be.
    """
    (chunks,) = jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments
    for chunk in chunks:
        if chunk.type == "equal":
            continue
        ref, hyp = chunk.ref_start_idx, chunk.hyp_start_idx
        for step in range(max(chunk.ref_end_idx - ref, chunk.hyp_end_idx - hyp)):
            yield (
                chunk.type,
                ref + (0 if chunk.type == "insert" else step),
                hyp + (0 if chunk.type == "delete" else step),
            )


def cut_checks(figures: Figures) -> Iterator[Check]:
    for kind in ("lost", "doubled"):
        value = float(figures[f"words_{kind}_at_cuts"] or 0)
        yield Check(f"words {kind} at forced cuts", value, 0)
