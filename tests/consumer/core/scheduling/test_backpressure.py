from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.capacity import Backpressure


def test_between_the_marks_all_stays_as_it_is():
    admission = Backpressure(pause_above_s=60, resume_below_s=30)
    assert [admission.update(s) for s in (0, 45, 60, 61, 45, 31, 30, 45)] == [
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
def test_it_fetches_when_little_waits_and_pauses_when_much_does(waiting: list[float]):
    admission = Backpressure(pause_above_s=60, resume_below_s=30)
    for waiting_s in waiting:
        fetches = admission.update(waiting_s)
        assert fetches is not admission.is_paused
        assert fetches or waiting_s > 30
        assert not fetches or waiting_s <= 60


@pytest.mark.parametrize(("pause", "resume"), [(30, 30), (30, 60), (0, 0), (30, -1)])
def test_marks_that_would_flutter_are_refused(pause: float, resume: float):
    with pytest.raises(ValueError, match="must lie under"):
        Backpressure(pause, resume)
