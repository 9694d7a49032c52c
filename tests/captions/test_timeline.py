from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken_finals import failed, gap, spoken, suppressed

from captions.timeline import clean, is_placeable, segments
from schemas.transcript import StreamWarning, Word


def placed(*events: object) -> list[tuple[float, float]]:
    return [(each.start_s, each.end_s) for each in segments(events)]


def test_the_axis_is_that_of_the_first_session():
    assert placed(spoken("a", 7, 8, time_ms=99_000), gap(8, 9)) == [(7, 8), (8, 9)]


def test_a_later_session_is_placed_by_wall_time():
    first = spoken("a", 1, 2, time_ms=1_002_000)
    second = spoken("b", 0.5, 1.5, time_ms=1_061_500, session_id="0-9")
    third = gap(1.5, 2)
    assert placed(first, second, third)[:2] == [(1, 2), (60.5, 61.5)]


def test_the_words_of_a_later_session_are_moved_with_it():
    first = spoken("a", 1, 2, time_ms=2_000)
    second = spoken("b", 0, 1, time_ms=11_000, session_id="0-9")
    (*_, last) = segments([first, second])
    assert last.words == (Word("b", 10, 11, 0.9),)


def test_a_session_whose_clock_was_set_back_follows_the_one_before():
    first = spoken("a", 0, 5, time_ms=100_000)
    second = spoken("b", 1, 2, time_ms=3_000, session_id="0-9")
    assert placed(first, second) == [(0, 5), (5, 6)]


@pytest.mark.parametrize(
    ("event", "kind", "note"),
    [
        (spoken("a"), "speech", ""),
        (suppressed(0, 1), "suppressed", "suppressed: no_speech"),
        (gap(0, 2.5), "gap", "gap: 2.5 s never reached Kafka"),
        (gap(0, 2.5, estimated=True), "gap", "gap: about 2.5 s never reached Kafka"),
        (failed(0, 1), "failed", "failed: undecodable"),
    ],
)
def test_what_is_missing_is_noted(event: object, kind: str, note: str):
    (segment,) = segments([event])
    assert (segment.kind, segment.note) == (kind, note)


def test_events_without_a_place_are_known():
    warning = StreamWarning(stream_id="s", session_id="0-0", index=0, time_ms=0, message="x")
    assert not is_placeable(warning)
    assert is_placeable(spoken("a"))


def test_a_text_is_cleaned_of_line_breaks_and_control_characters():
    assert clean(" a\r\nb\x00\x1b[2J\u2028c\ufffe  d ") == "a b[2J c d"
    assert clean("می\u200cخواهم\u200f") == "می\u200cخواهم\u200f"


@given(text=st.text())
def test_a_clean_text_stays_as_it_is(text: str):
    assert clean(clean(text)) == clean(text)
