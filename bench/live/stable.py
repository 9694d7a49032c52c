"""What partials promised and whether it held. Pure.

Words are counted as `core.text.units` does: words where spaces part them, characters where
nothing does; case and punctuation do not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.live.heard import Axis, Final, Partial
from consumer.core.text.agreement import align_prefix
from consumer.core.text.units import keys
from schemas.transcript import TranscriptFinal

LONG_S = 4.0  # speech from which on most words should be stable before the final; issue D


@dataclass(frozen=True, slots=True)
class Story:
    """All partials of one utterance, in order, and its final."""

    partials: tuple[Partial, ...]
    final: TranscriptFinal
    final_at_s: float  # monotonic


@dataclass(frozen=True, slots=True)
class Promises:
    """Sums over utterances."""

    partials: int
    stable_characters: int  # in the last partial of each
    taken_back: int  # characters of stable text that a later partial did not begin with
    stable_words: int  # in the last partial of each before its final
    changed_words: int  # of those: edits in the final
    long_words: int  # in finals of utterances over LONG_S
    long_stable_words: int  # of those: stable before the final
    delays_s: tuple[float, ...]  # end of a word -> the first partial in which it is stable

    @property
    def taken_back_share(self) -> float:
        return self.taken_back / max(1, self.stable_characters)

    @property
    def changed_share(self) -> float:
        return self.changed_words / max(1, self.stable_words)

    @property
    def early_share(self) -> float:
        return self.long_stable_words / max(1, self.long_words)


def stories(partials: Iterable[Partial], finals: Iterable[Final]) -> list[Story]:
    """One an utterance that has a final; partials that came twice count once."""
    told: defaultdict[tuple[str, str, int], dict[int, Partial]] = defaultdict(dict)
    for each in sorted(partials, key=lambda partial: partial.at_s):
        event = each.event
        told[event.stream_id, event.session_id, event.utterance].setdefault(event.revision, each)
    found = []
    for final in finals:
        if (said := final.event) is not None:
            revisions = told[said.stream_id, said.session_id, said.utterance]
            ordered = tuple(each for _, each in sorted(revisions.items()))
            found.append(Story(ordered, said, final.at_s))
    return found


def promises(told: Sequence[Story], axes: dict[str, Axis]) -> Promises:
    """`axes`: by stream."""
    before = [_before(story) for story in told]
    stable = [keys(texts[-1]) if texts else [] for texts in before]
    whole = [keys(story.final.text) for story in told]
    long = [story.final.speech_end_s - story.final.start_s > LONG_S for story in told]
    return Promises(
        partials=sum(len(story.partials) for story in told),
        stable_characters=sum(len(_texts(story)[-1]) for story in told if story.partials),
        taken_back=sum(map(_taken_back, told)),
        stable_words=sum(map(len, stable)),
        changed_words=sum(
            align_prefix(said, final)[1] for said, final in zip(stable, whole, strict=True)
        ),
        long_words=sum(len(final) for final, is_long in zip(whole, long, strict=True) if is_long),
        long_stable_words=sum(
            min(len(said), len(final))
            for said, final, is_long in zip(stable, whole, long, strict=True)
            if is_long
        ),
        delays_s=tuple(d for story in told for d in delays(story, axes[story.final.stream_id])),
    )


def delays(story: Story, axis: Axis) -> list[float]:
    """Of each word that the final has where the stable text had it."""
    ends = [(key, word.end_s) for word in story.final.words or () for key in keys(word.text)]
    found: list[float] = []
    for partial in story.partials:
        said = keys(partial.event.stable_text)
        for key, (final_key, end_s) in list(zip(said, ends, strict=False))[len(found) :]:
            if key != final_key:
                return found
            found.append(partial.at_s - axis.at_s(end_s))
    return found


def _texts(story: Story) -> list[str]:
    return [partial.event.stable_text for partial in story.partials]


def _before(story: Story) -> list[str]:
    """Stable texts that were there before the final."""
    return [p.event.stable_text for p in story.partials if p.at_s < story.final_at_s]


def _taken_back(story: Story) -> int:
    return sum(
        0 if later.startswith(earlier) else len(earlier) - _common(earlier, later)
        for earlier, later in pairwise(_texts(story))
    )


def _common(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
