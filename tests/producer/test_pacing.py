from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from producer.pacing import RealtimeClock, RealtimeSchedule

RATES = st.integers(8_000, 48_000)


@given(RATES, st.integers(1, 2_000), st.integers(0, 10_000_000))
def test_a_chunk_is_due_when_its_last_sample_is_spoken(rate: int, chunk: int, n: int) -> None:
    schedule = RealtimeSchedule(start_s=1_000.0, start_ms=0, rate=rate)
    assert schedule.due_s((n + 1) * chunk) == 1_000.0 + (n + 1) * chunk / rate


def test_the_schedule_does_not_drift_within_a_day() -> None:
    schedule = RealtimeSchedule(start_s=0.0, start_ms=1_763_868_000_000, rate=11_025)
    day = 86_400 * 11_025
    assert schedule.due_s(day) == 86_400.0
    assert schedule.captured_ms(day) == 1_763_868_000_000 + 86_400_000


@given(RATES, st.integers(0, 1 << 40))
def test_captured_ms_is_the_time_of_the_first_sample(rate: int, start: int) -> None:
    schedule = RealtimeSchedule(start_s=0.0, start_ms=5, rate=rate)
    exact = 5 + start * 1000 / rate
    assert exact - 1 < schedule.captured_ms(start) <= exact + 1e-3 * exact / 1e9


async def test_waiting_ends_at_once_on_stop() -> None:
    stop = asyncio.Event()
    stop.set()
    await RealtimeClock().wait(86_400.0, stop)


async def test_a_late_chunk_does_not_wait_but_yields_to_other_tasks() -> None:
    ran = asyncio.Event()
    asyncio.get_running_loop().call_soon(ran.set)
    await RealtimeClock().wait(-5.0, asyncio.Event())
    assert ran.is_set()
