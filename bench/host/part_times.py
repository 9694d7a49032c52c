"""Processor time by part of the work, of the calling thread alone."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class PartTimes:
    """Adds up the time of calls by part; a call within a call counts for its own part alone."""

    def __init__(self, clock: Callable[[], float] = time.thread_time) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock = clock
        self._inner_s = 0.0  # of calls within the present one

    def run(self, part: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of the call, whose time counts for the part."""
        outer_inner_s, self._inner_s = self._inner_s, 0.0
        began = self._clock()
        try:
            return call(*args, **kwargs)
        finally:
            took = self._clock() - began
            self.seconds[part] += took - self._inner_s
            self._inner_s = outer_inner_s + took

    def timed(self, part: str, function: Callable[P, T]) -> Callable[P, T]:
        """Return the function, with its time counted for the part."""

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(part, function, *args, **kwargs)

        return run


def least(rounds: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the least time of each part: other processes can only add to it."""
    found: dict[str, float] = {}
    for seconds in rounds:
        for part, value in seconds.items():
            found[part] = min(value, found.get(part, value))
    return found
