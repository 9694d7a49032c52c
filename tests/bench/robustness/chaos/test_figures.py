from __future__ import annotations

from chaos_evidence import FINALS, STARTED, records, sound

from bench.robustness.chaos.environment import Kill
from bench.robustness.chaos.evidence import LoggedEvent
from bench.robustness.chaos.figures import final_waits, takeovers


def final(partition: int, at_s: float) -> LoggedEvent:
    return LoggedEvent(partition, round(at_s * 10), at_s, FINALS[0])


def test_a_takeover_ends_with_the_next_final_of_a_partition_that_was_served() -> None:
    events = [final(1, 5), final(1, 10.5), final(2, 13), final(1, 21), final(2, 22)]
    assert takeovers([Kill(10, frozenset({1, 2}))], events) == [3]
    assert takeovers([Kill(10, frozenset({1}))], events) == [11]


def test_other_events_and_the_last_commits_before_the_kill_do_not_count() -> None:
    events = [final(1, 11), LoggedEvent(1, 1, 14, STARTED), final(1, 20)]
    assert takeovers([Kill(10, frozenset({1}))], events) == [10]


def test_a_kill_without_a_later_final_has_no_takeover() -> None:
    assert takeovers([Kill(10, frozenset({1})), Kill(10, frozenset())], [final(1, 9)]) == []


def test_a_final_waits_from_the_record_that_ends_it() -> None:
    received = records(*sound(0, 11))
    events = [LoggedEvent(3, 1, 7.0, FINALS[0]), LoggedEvent(3, 2, 9.0, FINALS[1])]
    assert final_waits(received, events) == [7, 9]
    assert final_waits(received, events, begin_s=8) == [9]
