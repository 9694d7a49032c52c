from __future__ import annotations

import pytest

from consumer.core.partition.lag import Lag

T_MS = 1_700_000_000_000  # append time at monotonic 0.0
HOUR_MS = 3_600_000


def live(at_s: float = 10.0) -> Lag:
    """It has read all there was, and one record that came fresh at `at_s`."""
    lag = Lag(0)
    lag.on_poll(at_s - 0.05, caught_up=True)
    lag.on_read(appended(at_s), at_s)
    lag.on_poll(at_s, caught_up=False)
    return lag


def appended(at_s: float) -> int:
    return T_MS + round(at_s * 1000)


def test_nothing_waits_nothing_is_late():
    lag = live()
    lag.on_poll(10.05, caught_up=True)
    assert lag.ms(500.0, appended(500), None) == 0


def test_what_has_ended_and_waits_is_as_old_as_what_decided_it():
    lag = live()
    lag.on_poll(10.05, caught_up=True)
    assert lag.ms(13.0, appended(13), appended(9.5)) == 3_500


def test_while_nothing_is_fetched_it_grows():
    lag = live()
    lag.on_poll(10.2, caught_up=False)
    assert lag.ms(10.2, appended(10.2), None) == 200
    assert lag.ms(70.0, appended(70), None) == 60_000


def test_what_comes_after_a_long_silence_is_no_older_than_the_last_look():
    lag = live()
    lag.on_poll(3_600.0, caught_up=True)
    lag.on_poll(3_600.2, caught_up=False)
    assert lag.ms(3_600.2, appended(3_600.2), None) == 200


def test_a_backlog_found_at_the_start_counts_from_what_was_read_last():
    lag = Lag(appended(0))
    lag.on_poll(600.0, caught_up=False)
    assert lag.ms(600.0, appended(600), None) == 600_000
    lag.on_read(appended(300), 601.0)
    lag.on_poll(601.0, caught_up=False)
    assert lag.ms(601.0, appended(601), None) == 301_000


def test_of_a_log_that_nobody_has_read_nothing_is_known_until_its_first_record():
    lag = Lag(0)
    lag.on_poll(0.0, caught_up=False)
    assert lag.ms(0.0, appended(0), None) == 0
    lag.on_read(appended(-50), 0.1)
    lag.on_poll(0.1, caught_up=False)
    assert lag.ms(0.1, appended(0.1), None) == 50_100


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS])
def test_a_clock_that_is_off_is_found_out_by_a_record_that_comes_fresh(off_ms: int):
    lag = live()
    lag.on_poll(12.0, caught_up=False)
    assert lag.ms(12.0, appended(12) + off_ms, None) == 2_000


def test_brokers_whose_clock_is_ahead_are_believed_at_once():
    lag = Lag(0)
    lag.on_read(appended(0), 0.0)
    assert lag.ms(5.0, appended(5) - HOUR_MS, appended(2)) == 5_000


def test_the_quickest_record_tells_the_clocks_best():
    lag = live()
    lag.on_poll(11.0, caught_up=True)
    lag.on_read(appended(11.2), 12.0)  # it waited, behind something slow
    lag.on_poll(12.0, caught_up=True)
    assert lag.ms(13.0, 0, appended(12)) == 1_000
