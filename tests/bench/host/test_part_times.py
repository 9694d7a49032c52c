from __future__ import annotations

import pytest

from bench.host.part_times import PartTimes, least


class StepClock:
    """A clock that `spend` advances."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def spend(self, seconds: float) -> float:
        self.now_s += seconds
        return seconds


def test_time_of_a_call_within_a_call_counts_for_its_own_part():
    clock = StepClock()
    times = PartTimes(clock)

    def outer() -> None:
        clock.spend(1.0)
        times.run("inner", clock.spend, 4.0)
        times.run("inner", clock.spend, 4.0)
        clock.spend(2.0)

    times.run("outer", outer)
    times.run("outer", clock.spend, 0.5)
    assert times.seconds == {"outer": 3.5, "inner": 8.0}


def test_time_counts_when_the_call_raises():
    clock = StepClock()
    times = PartTimes(clock)

    def fail() -> None:
        clock.spend(1.0)
        raise KeyError

    with pytest.raises(KeyError):
        times.run("outer", times.run, "inner", fail)
    times.run("after", clock.spend, 2.0)
    assert times.seconds == {"outer": 0.0, "inner": 1.0, "after": 2.0}


def test_the_least_time_of_each_part_counts():
    assert least([{"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 3.0}]) == {"a": 1.0, "b": 1.0}
