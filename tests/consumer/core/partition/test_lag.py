from __future__ import annotations

import pytest

from consumer.core.partition.lag import Lag

T_MS = 1_700_000_000_000  # append time at monotonic 0.0
HOUR_MS = 3_600_000


def live(at_s: float = 10.0) -> Lag:
    """Return the lag of a partition that had caught up and read a new record at `at_s`."""
    lag = Lag(0)
    lag.on_poll(at_s - 0.05, caught_up=True)
    lag.on_read(appended(at_s), at_s)
    lag.on_poll(at_s, caught_up=False)
    return lag


def appended(at_s: float) -> int:
    return T_MS + round(at_s * 1000)


def test_a_partition_that_has_caught_up_has_no_lag():
    lag = live()
    lag.on_poll(10.05, caught_up=True)
    assert lag.ms(500.0, appended(500), None) == 0


def test_a_waiting_utterance_lags_since_the_record_that_decided_it():
    lag = live()
    lag.on_poll(10.05, caught_up=True)
    assert lag.ms(13.0, appended(13), appended(9.5)) == 3_500


def test_lag_grows_while_nothing_is_fetched():
    lag = live()
    lag.on_poll(10.2, caught_up=False)
    assert lag.ms(10.2, appended(10.2), None) == 200
    assert lag.ms(70.0, appended(70), None) == 60_000


def test_after_a_long_silence_lag_counts_from_the_last_poll_that_was_caught_up():
    lag = live()
    lag.on_poll(3_600.0, caught_up=True)
    lag.on_poll(3_600.2, caught_up=False)
    assert lag.ms(3_600.2, appended(3_600.2), None) == 200


def test_lag_of_an_initial_backlog_counts_from_the_last_record_read():
    lag = Lag(appended(0))
    lag.on_poll(600.0, caught_up=False)
    assert lag.ms(600.0, appended(600), None) == 600_000
    lag.on_read(appended(300), 601.0)
    lag.on_poll(601.0, caught_up=False)
    assert lag.ms(601.0, appended(601), None) == 301_000


def test_lag_of_an_unread_log_is_0_until_its_first_record():
    lag = Lag(0)
    lag.on_poll(0.0, caught_up=False)
    assert lag.ms(0.0, appended(0), None) == 0
    lag.on_read(appended(-50), 0.1)
    lag.on_poll(0.1, caught_up=False)
    assert lag.ms(0.1, appended(0.1), None) == 50_100


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS])
def test_a_wrong_local_clock_is_corrected_by_a_record_that_did_not_wait(off_ms: int):
    lag = live()
    lag.on_poll(12.0, caught_up=False)
    assert lag.ms(12.0, appended(12) + off_ms, None) == 2_000


def test_a_broker_clock_that_is_ahead_is_adopted_at_once():
    lag = Lag(0)
    lag.on_read(appended(0), 0.0)
    assert lag.ms(5.0, appended(5) - HOUR_MS, appended(2)) == 5_000


def test_the_fastest_record_determines_the_clock_offset():
    lag = live()
    lag.on_poll(11.0, caught_up=True)
    lag.on_read(appended(11.2), 12.0)  # read late, 0.8 s after it was appended
    lag.on_poll(12.0, caught_up=True)
    assert lag.ms(13.0, 0, appended(12)) == 1_000
