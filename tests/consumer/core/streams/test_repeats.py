"""What is remembered of the records read last."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from consumer.core.streams.repeats import RECENT, RecentRecords
from consumer.core.streams.state import Digest

digests = st.none() | st.tuples(st.integers(0, 400), st.integers(0, 2))
reads = st.lists(digests, max_size=20) | st.lists(digests, min_size=RECENT, max_size=RECENT + 20)


def remembered(found: list[Digest | None]) -> list[Digest]:
    return [each for each in found[-RECENT:] if each is not None]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4), reads, st.data())
def test_the_records_before_one_are_returned_in_the_order_of_reading(
    restored: list[Digest], read: list[Digest | None], data: st.DataObject
):
    recent = RecentRecords(restored)
    for offset, each in enumerate(read):
        recent.append(offset, each)
    at = data.draw(st.none() | st.integers(0, len(read)))
    before = read if at is None else read[:at]
    assert recent.before(at) == tuple(remembered([*restored, *before]))


@given(reads)
def test_what_was_read_last_is_recognised(read: list[Digest | None]):
    recent = RecentRecords()
    for offset, each in enumerate(read):
        recent.append(offset, each)
    known = Counter(remembered([*read]))
    assert all((each in recent) == (each in known) for each in read if each is not None)
    numbers = {number for number, _ in known}
    assert all(recent.has_number(number) == (number in numbers) for number in range(400))


def test_a_record_that_is_noted_twice_is_not_before_itself():
    recent = RecentRecords()
    for offset, read in ((0, (7, 1)), (1, None), (1, None), (2, (9, 1))):
        recent.append(offset, read)
    assert recent.before(1) == ((7, 1),)
