"""How long things took: pure figures from what was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from bench.chaos.arena import Kill
from bench.chaos.evidence import Seen, Sent
from schemas.transcript import TranscriptFinal

LAST_WORDS_S: Final = 2.0  # what a worker committed before it was killed may be seen so much later


def takeovers(kills: Iterable[Kill], seen: Sequence[Seen]) -> list[float]:
    """Seconds from each kill to the next final of one of the partitions that were served."""
    times: defaultdict[int, list[float]] = defaultdict(list)
    for each in seen:
        if isinstance(each.event, TranscriptFinal):
            times[each.partition].append(each.at_s)
    took = []
    for kill in kills:
        later = [
            at_s - kill.at_s
            for partition in kill.partitions
            for at_s in times[partition]
            if at_s > kill.at_s + LAST_WORDS_S
        ]
        took += [min(later)] if later else []
    return took


def waits(
    sent: Iterable[Sent], seen: Iterable[Seen], begin_s: float = 0.0, end_s: float = float("inf")
) -> list[float]:
    """Seconds from the record that ends an utterance to its final, both as readers saw them."""
    came = {(each.partition, each.offset): each.at_s for each in sent}
    return [
        each.at_s - came[each.partition, each.event.source.last_offset]
        for each in seen
        if isinstance(each.event, TranscriptFinal) and begin_s <= each.at_s <= end_s
    ]
