"""When to stop fetching: Kafka is the only large buffer, memory holds seconds of speech at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Admission:
    """Two marks, so that fetching does not flutter around one."""

    pause_above_s: float  # seconds of speech that wait for the model
    resume_below_s: float
    is_paused: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.resume_below_s < self.pause_above_s:
            raise ValueError("the mark to resume below must lie under the mark to pause above")

    def update(self, waiting_s: float) -> bool:
        """Whether to fetch, given the seconds that wait now."""
        mark = self.resume_below_s if self.is_paused else self.pause_above_s
        self.is_paused = waiting_s > mark
        return not self.is_paused
