"""The order of records, given the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.state import RecordOrder

FIELDS = {name: st.from_type(hint) for name, hint in get_type_hints(RecordOrder).items()}


@given(st.builds(RecordOrder, **FIELDS), st.integers(), st.none() | st.integers(), st.booleans())
def test_the_order_after_a_record_differs_in_what_it_states(
    order: RecordOrder, end: int, next_seq: int | None, over: bool
):
    stated = {"end": end, "next_seq": next_seq, "last_samples": 160, "positioned": not over}
    after = order.after(over=over, **stated)
    assert after == replace(order, over=over, options=None if over else order.options, **stated)
