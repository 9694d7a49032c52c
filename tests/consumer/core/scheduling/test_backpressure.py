from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.capacity import Backpressure


def test_between_the_marks_the_state_does_not_change():
    backpressure = Backpressure(pause_above_s=60, resume_below_s=30)
    assert [backpressure.update(s) for s in (0, 45, 60, 61, 45, 31, 30, 45)] == [
        True,
        True,
        True,
        False,
        False,
        False,
        True,
        True,
    ]


@given(st.lists(st.floats(0, 100)))
def test_it_reads_below_the_lower_mark_and_pauses_above_the_upper_one(waiting: list[float]):
    backpressure = Backpressure(pause_above_s=60, resume_below_s=30)
    for waiting_s in waiting:
        reads = backpressure.update(waiting_s)
        assert reads is not backpressure.is_paused
        assert reads or waiting_s > 30
        assert not reads or waiting_s <= 60


@pytest.mark.parametrize(("pause", "resume"), [(30, 30), (30, 60), (0, 0), (30, -1)])
def test_marks_without_hysteresis_are_rejected(pause: float, resume: float):
    with pytest.raises(ValueError, match="must be below"):
        Backpressure(pause, resume)
