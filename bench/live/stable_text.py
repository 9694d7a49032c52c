"""What partials mark as stable, and whether the finals keep it. Pure.

Units are those of `core.text.units`: words, or characters in languages without spaces; case and
punctuation do not count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from operator import eq
from typing import Final

from bench.live.observations import PlaybackClock, ReceivedFinal, ReceivedPartial
from consumer.core.text.agreement import align_prefix
from consumer.core.text.units import keys
from evaluation.percentiles import percentile
from evaluation.report import Check, Figures, Sense
from schemas.transcript import TranscriptFinal, TranscriptPartial

LONG_S: Final = 4.0  # of speech, from which on stable text is expected before the final
EARLY_SHARE: Final = 0.60  # target: units of long utterances that are stable before the final
CHANGED_SHARE: Final = 0.02  # target: stable units that the final changes


@dataclass(frozen=True, slots=True)
class FinalWithPartials:
    """The final of one utterance and the partials before and after it."""

    final: ReceivedFinal
    partials: tuple[ReceivedPartial, ...]  # in order of their revisions

    @property
    def is_long(self) -> bool:
        return self.final.event.speech_end_s - self.final.event.start_s > LONG_S

    @property
    def stable_texts(self) -> list[str]:
        return [partial.event.stable_text for partial in self.partials]

    @property
    def stable_units(self) -> list[str]:
        """What the last partial before the final marks as stable."""
        early = [p.event.stable_text for p in self.partials if p.at_s < self.final.at_s]
        return keys(early[-1]) if early else []

    @property
    def taken_back(self) -> int:
        """Characters of stable text that the next partial does not begin with."""
        return sum(len(one) - _common(one, other) for one, other in pairwise(self.stable_texts))

    def delays_s(self, clock: PlaybackClock) -> list[float]:
        """Return the time from the end of each word until it is stable.

        Stops at the first word that is another in the final.
        """
        ends = [
            (key, word.end_s) for word in self.final.event.words or () for key in keys(word.text)
        ]
        found: list[float] = []
        for partial in self.partials:
            stable = keys(partial.event.stable_text)
            for key, (final_key, end_s) in list(zip(stable, ends, strict=False))[len(found) :]:
                if key != final_key:
                    return found
                found.append(partial.at_s - clock.at_s(end_s))
        return found


def _common(one: str, other: str) -> int:
    """Return the length of the common beginning."""
    return sum(takewhile(bool, map(eq, one, other)))


def with_partials(
    finals: Iterable[ReceivedFinal], partials: Iterable[ReceivedPartial]
) -> list[FinalWithPartials]:
    """Group partials by utterance; of a repeated revision the first counts."""
    revisions: defaultdict[tuple[str, str, int], dict[int, ReceivedPartial]] = defaultdict(dict)
    for partial in sorted(partials, key=lambda partial: partial.at_s):
        revisions[_utterance(partial.event)].setdefault(partial.event.revision, partial)
    return [
        FinalWithPartials(
            final, tuple(text for _, text in sorted(revisions[_utterance(final.event)].items()))
        )
        for final in finals
    ]


def _utterance(event: TranscriptFinal | TranscriptPartial) -> tuple[str, str, int]:
    return event.stream_id, event.session_id, event.utterance


def stable_figures(
    utterances: Sequence[FinalWithPartials], clocks: Mapping[str, PlaybackClock]
) -> Figures:
    """Return figures over all utterances; `clocks` by stream id."""
    units = [(each.stable_units, keys(each.final.event.text)) for each in utterances]
    long = [pair for each, pair in zip(utterances, units, strict=True) if each.is_long]
    characters = sum(len(each.stable_texts[-1]) for each in utterances if each.partials)
    changed = sum(align_prefix(stable, final)[1] for stable, final in units)
    early = sum(min(len(stable), len(final)) for stable, final in long)
    delays_s = [d for each in utterances for d in each.delays_s(clocks[each.final.event.stream_id])]
    return {
        "partials": sum(len(each.partials) for each in utterances),
        "stable_delay_p50_s": percentile(delays_s, 0.5),
        "stable_delay_p95_s": percentile(delays_s, 0.95),
        "stable_taken_back_share": _share(sum(each.taken_back for each in utterances), characters),
        "stable_before_final_share": _share(early, sum(len(final) for _, final in long)),
        "stable_changed_share": _share(changed, sum(len(stable) for stable, _ in units)),
    }


def _share(part: int, whole: int) -> float:
    return part / max(1, whole)


def stable_checks(figures: Figures) -> Iterator[Check]:
    taken_back, early, changed = (
        float(figures[f"stable_{name}_share"] or 0)
        for name in ("taken_back", "before_final", "changed")
    )
    yield Check("stable text taken back", taken_back, 0.0)
    yield Check("words stable before their final", early, EARLY_SHARE, Sense.AT_LEAST)
    yield Check("stable words changed by the final", changed, CHANGED_SHARE)
