"""How busy the engine is with live speech, and whether there is room for decodes beyond finals.

An interim decode, another attempt at a text and an audit improve what is published, but a batch
that has begun is not interrupted: the finals of all streams wait for it. So they are made only
while the engine is not busy, and while little of other work would come before they end. Both the
share of time in which the engine decodes live speech, theirs included, and the time that a decode
is expected to take come from the last batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Final

WINDOW_S: Final = 10.0  # over which the share is averaged: long enough for some utterances
MAX_SHARE: Final = 0.8  # of the time; above it, queues grow faster than the load
MAX_DELAY_S: Final = 0.5  # of work that may come during a decode that could be spared
_LATEST: Final = 0.2  # weight of the latest batch in what a batch takes


@dataclass(slots=True)
class EngineLoad:
    """The measured load of one engine. Times are monotonic seconds."""

    share: float = 0.0  # of the last WINDOW_S, weighted exponentially, as of `updated`
    updated: float = 0.0
    position_s: dict[int, float] = field(default_factory=dict)  # by the number of earlier texts

    def observe(self, cost: int, attempt: int, seconds: float, now: float) -> None:
        """Note that a batch of `cost` positions took `seconds` up to `now`."""
        latest = seconds / cost
        usual = self.position_s.get(attempt, latest)
        self.position_s[attempt] = usual + _LATEST * (latest - usual)
        kept = exp(-seconds / WINDOW_S)
        self.share = self._share_at(now - seconds) * kept + 1 - kept
        self.updated = now

    def has_room(self, cost: int, attempt: int, now: float) -> bool:
        """Return whether to make a decode that could be spared, of `cost` positions.

        An attempt of a kind that was never measured is taken to cost as much as a first one.
        """
        share = self._share_at(now)
        position_s = self.position_s.get(attempt, self.position_s.get(0, 0.0))
        return share < MAX_SHARE and share * cost * position_s < MAX_DELAY_S

    def _share_at(self, now: float) -> float:
        """Return the share after the engine was idle since the last batch."""
        return self.share * exp(-max(0.0, now - self.updated) / WINDOW_S)
