from __future__ import annotations

from said_and_seen import FINALS, STARTED, sent, sound

from bench.chaos.arena import Kill
from bench.chaos.evidence import Seen
from bench.chaos.measure import takeovers, waits


def final(partition: int, at_s: float) -> Seen:
    return Seen(partition, round(at_s * 10), at_s, FINALS[0])


def test_a_takeover_ends_with_the_next_final_of_a_partition_that_was_served() -> None:
    seen = [final(1, 5), final(1, 10.5), final(2, 13), final(1, 21), final(2, 22)]
    assert takeovers([Kill(10, frozenset({1, 2}))], seen) == [3]
    assert takeovers([Kill(10, frozenset({1}))], seen) == [11]


def test_other_events_and_what_the_dead_said_last_do_not_count() -> None:
    seen = [final(1, 11), Seen(1, 1, 14, STARTED), final(1, 20)]
    assert takeovers([Kill(10, frozenset({1}))], seen) == [10]


def test_a_kill_that_nothing_came_after_has_no_time() -> None:
    assert takeovers([Kill(10, frozenset({1})), Kill(10, frozenset())], [final(1, 9)]) == []


def test_a_final_waits_from_the_record_that_ends_it() -> None:
    records = sent(*sound(0, 11))
    seen = [Seen(3, 1, 7.0, FINALS[0]), Seen(3, 2, 9.0, FINALS[1])]
    assert waits(records, seen) == [7, 9]
    assert waits(records, seen, begin_s=8) == [9]
