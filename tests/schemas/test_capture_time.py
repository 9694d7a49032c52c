from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.capture_time import capture_time

MS = 1_763_868_000_123
YEAR_1971_MS, YEAR_2100_MS = 31_536_000_000, 4_102_444_800_000


def test_an_absent_time_is_no_problem() -> None:
    assert capture_time(None) == (None, ())


@given(st.integers(YEAR_1971_MS, YEAR_2100_MS - 1))
def test_milliseconds_of_this_age_are_taken_as_they_are(unix_ms: int) -> None:
    assert capture_time(b"%d" % unix_ms) == (unix_ms, ())


@pytest.mark.parametrize(
    ("value", "unix_ms", "unit"),
    [
        (b"1763868000", 1_763_868_000_000, "seconds"),
        (b"1763868000.1239", MS, "seconds"),
        (b"1763868000.5", 1_763_868_000_500, "seconds"),
        (b"1763868000123.75", MS, "milliseconds"),
        (b"1763868000123999", MS, "microseconds"),
        (b"1763868000123999999", MS, "nanoseconds"),
    ],
)
def test_a_time_in_another_unit_is_converted_with_a_problem(
    value: bytes, unix_ms: int, unit: str
) -> None:
    found, (problem,) = capture_time(value)
    assert found == unix_ms
    assert problem.startswith("captured_ms: ")
    assert problem.endswith(f"is understood as {unit}; send whole milliseconds")


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"now", b"-1", b"+1763868000123", b"1.7e12", b"0x19ab", b" 1763868000123"),
        *(b"2025-11-23T03:20:00Z", b"\xff", b".5", b"1763868000.", "１７６".encode()),
        *(b"0", b"100", b"31535999999999999", b"133770000000000000", b"9" * 5_000),
        b"%d" % YEAR_2100_MS,
        b"%d" % (YEAR_2100_MS // 1000),
    ],
)
def test_what_is_no_time_in_any_unit_is_ignored_with_a_problem(value: bytes) -> None:
    found, (problem,) = capture_time(value)
    assert found is None
    assert problem.startswith("captured_ms: ")
    assert problem.endswith("the append time applies")
    assert problem.isprintable()
    assert len(problem) < 400


@given(st.integers(0, 10**20))
def test_a_number_is_a_time_in_one_unit_at_most(number: int) -> None:
    """Whatever is converted lies in this century: no unit is another one's plausible time."""
    found, problems = capture_time(b"%d" % number)
    if found is not None and problems:
        assert 946_684_800_000 <= found < YEAR_2100_MS
        assert found in {number * 1000, number // 1000, number // 10**6}


@given(st.integers(946_684_800, 4_102_444_799), st.integers(0, 999_999_999))
def test_every_unit_of_one_time_gives_the_same_milliseconds(second: int, nanosecond: int) -> None:
    exact = second * 10**9 + nanosecond
    values = (
        b"%d.%09d" % (second, nanosecond),
        b"%d" % (exact // 10**6),
        b"%d" % (exact // 1000),
        b"%d" % exact,
    )
    assert {capture_time(value)[0] for value in values} == {exact // 10**6}


@given(st.binary())
def test_arbitrary_bytes_raise_nothing(value: bytes) -> None:
    found, problems = capture_time(value)
    assert len(problems) == 1 or found is not None
