"""Options of a stream: which records state them, and for which sessions they apply."""

from __future__ import annotations

from typing import Any

import pytest
from builders import OPTIONS, loud, quiet
from stream_harness import OneStream

from schemas.audio import StreamOptions
from schemas.transcript import StreamEnded, StreamStarted, StreamWarning

GERMAN = StreamOptions(languages=("de",), prompt="so far")


def languages(stream: OneStream) -> list[tuple[str, ...]]:
    """Return the languages of each session."""
    return [event.languages for event in stream.events() if isinstance(event, StreamStarted)]


def warnings(stream: OneStream) -> list[str]:
    found = [event.message for event in stream.events() if isinstance(event, StreamWarning)]
    return [message.partition(":")[0] for message in found]


@pytest.mark.parametrize(
    "again",
    [
        pytest.param({"seq": 0}, id="numbers begin anew"),
        pytest.param({"seq": 2, "rate": 8_000}, id="another rate"),
    ],
)
def test_a_session_has_the_options_of_the_one_before(again: dict[str, Any]):
    stream = OneStream()
    stream.send(loud(0.1), seq=0, options=GERMAN)
    stream.send(loud(0.1), seq=1)
    stream.send(loud(0.2), **again)
    assert languages(stream) == [("de",), ("de",)]
    assert stream.stream.options.prompt == "so far"


def test_a_session_after_a_pause_has_them_too():
    stream = OneStream()
    stream.send(loud(0.1), options=GERMAN)
    stream.expire()
    stream.send(loud(0.1))
    assert languages(stream) == [("de",), ("de",)]


@pytest.mark.parametrize("run", [None, "a"])
def test_they_end_with_the_stream(run: str | None):
    stream = OneStream()
    stream.send(loud(0.1), options=GERMAN, run=run)
    stream.send(quiet(0), end=True, run=run)
    stream.send(loud(0.1), run=run)
    assert languages(stream) == [("de",), OPTIONS.languages]


def test_another_run_has_its_own():
    stream = OneStream()
    stream.send(loud(0.1), seq=0, options=GERMAN, run="a")
    stream.send(loud(0.1), seq=0, run="b")
    assert languages(stream) == [("de",), OPTIONS.languages]


def test_a_session_that_states_options_has_only_those():
    stream = OneStream()
    stream.send(loud(0.1), seq=0, options=GERMAN)
    stream.send(loud(0.2), seq=0, options=StreamOptions(languages=("fr",)))
    assert languages(stream) == [("de",), ("fr",)]
    assert stream.stream.options.prompt is None


def test_they_may_come_before_the_audio():
    stream = OneStream()
    stream.send(quiet(0), seq=0, options=GERMAN)
    stream.send(loud(0.1), seq=1)
    assert languages(stream) == [("de",)]


def test_they_are_kept_by_the_state():
    before = OneStream()
    before.send(loud(0.1), options=GERMAN)
    before.expire()
    before.events()
    after = OneStream(state=before.stream.state())
    after.log = before.log
    after.send(loud(0.1))
    assert languages(after) == [("de",)]


def test_other_options_on_a_later_record_have_one_warning():
    stream = OneStream()
    stream.send(loud(0.1), options=GERMAN)
    for _ in range(3):
        stream.send(loud(0.1), options=StreamOptions(languages=("fr",)))
    assert warnings(stream) == ["options"]


def test_the_same_options_on_each_record_have_none():
    stream = OneStream()
    for _ in range(3):
        stream.send(loud(0.1), options=GERMAN)
    stream.send(loud(0.1), options=StreamOptions(languages=("de",)))
    stream.send(quiet(0), options=GERMAN, end=True)
    assert warnings(stream) == []


def test_options_with_an_end_open_nothing():
    stream = OneStream()
    stream.send(quiet(0), options=GERMAN, end=True)
    stream.send(loud(0.1))
    events = stream.events()
    assert not [event for event in events if isinstance(event, StreamEnded)]
    assert stream.stream.options.languages == OPTIONS.languages
