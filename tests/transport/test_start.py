from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.start import Edge, Start, parse_start

NOW_MS = 1_783_504_867_000  # 2026-07-08T10:01:07Z


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("beginning", Edge.BEGINNING),
        ("now", Edge.NOW),
        ("90s", NOW_MS - 90_000),
        ("10m", NOW_MS - 600_000),
        ("2h", NOW_MS - 7_200_000),
        ("1d", NOW_MS - 86_400_000),
        ("999999d", 0),
        ("2026-07-08T10:01:07Z", NOW_MS),
        ("2026-07-08 12:01:07.5+02:00", NOW_MS + 500),
        ("1783504867000", NOW_MS),
    ],
)
def test_every_form_of_a_start_is_parsed(text: str, start: Start):
    assert parse_start(text, NOW_MS) == start


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("yesterday", "none of: beginning, now, how long ago"),
        ("", "none of:"),
        ("10 m", "none of:"),
        ("-5m", "none of:"),
        ("1783504867", "no Unix time in milliseconds"),
        ("9" * 30, "no Unix time in milliseconds"),
        ("2026-07-08", "needs a time and its zone"),
        ("2026-07-08T10:01:07", "needs a time and its zone"),
        ("2026-13-08T10:01:07Z", "none of:"),
    ],
)
def test_other_text_is_rejected_with_the_valid_forms(text: str, problem: str):
    with pytest.raises(ValueError, match=problem):
        parse_start(text, NOW_MS)


@given(text=st.text() | st.from_regex(r"\d+[smhd]?", fullmatch=True))
def test_any_text_is_parsed_or_raises_value_error(text: str):
    with suppress(ValueError):
        start = parse_start(text, NOW_MS)
        assert isinstance(start, Edge) or start >= 0
