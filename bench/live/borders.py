"""Words lost, doubled or changed where long speech was cut. Pure.

Live text and the whole-clip decode are each laid beside what was said (Levenshtein, as error rates
are). A word counts where the whole-clip decode had it right, so that what the model cannot hear is
not held against the cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import jiwer

NEAR: Final = 2  # words on each side of a cut
_ECHO: Final = 3  # words before an added one in which it may stand already


@dataclass(frozen=True, slots=True)
class Damage:
    """At all cuts of some text; words, in Chinese characters."""

    cuts: int = 0
    lost: int = 0  # said, right in the whole-clip decode, absent live
    doubled: int = 0  # not said, and the same as a word beside it
    changed: int = 0  # right in the whole-clip decode, another word live

    def __add__(self, other: Damage) -> Damage:
        return Damage(
            self.cuts + other.cuts,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.changed + other.changed,
        )


def damage(
    said: Sequence[str], whole: Sequence[str], pieces: Sequence[Sequence[str]], cuts: Iterable[int]
) -> Damage:
    """`pieces`: the words of each final in order; `cuts`: behind which of them a cut was forced."""
    ends = [*accumulate(map(len, pieces))]
    at = [ends[index] for index in cuts]
    live = [word for piece in pieces for word in piece]
    if not said or not live or not at:
        return Damage(cuts=len(at))
    right = _right(said, whole)
    counts: Counter[str] = Counter()
    for kind, ref, hyp in _edits(said, live):
        if not any(cut - NEAR <= hyp < cut + NEAR for cut in at):
            continue
        if kind == "insert":
            counts["doubled"] += live[hyp] in (
                *live[max(0, hyp - _ECHO) : hyp],
                *live[hyp + 1 :][:_ECHO],
            )
        elif ref in right:
            counts["lost" if kind == "delete" else "changed"] += 1
    return Damage(len(at), counts["lost"], counts["doubled"], counts["changed"])


def _right(said: Sequence[str], heard: Sequence[str]) -> set[int]:
    """Which of the words said were heard."""
    if not heard:
        return set()
    wrong = {ref for kind, ref, _ in _edits(said, heard) if kind != "insert"}
    return {*range(len(said))} - wrong


def _edits(said: Sequence[str], heard: Sequence[str]) -> list[tuple[str, int, int]]:
    """Kind, index in `said` and index in `heard` of each; of one side only where it has one."""
    (chunks,) = jiwer.process_words(" ".join(said), " ".join(heard)).alignments
    edits = []
    for chunk in chunks:
        length = max(
            chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx
        )
        for step in range(length if chunk.type != "equal" else 0):
            ref = chunk.ref_start_idx + (0 if chunk.type == "insert" else step)
            hyp = chunk.hyp_start_idx + (0 if chunk.type == "delete" else step)
            edits.append((chunk.type, ref, hyp))
    return edits
