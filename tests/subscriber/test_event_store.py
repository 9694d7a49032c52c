from __future__ import annotations

from dataclasses import replace

import pytest
from spoken_finals import failed, gap, spoken, suppressed

from schemas.transcript import StreamWarning
from subscriber.event_store import EventStore


@pytest.fixture
def store():
    with EventStore() as store:
        yield store


def test_events_of_a_stream_come_back_in_their_order(store: EventStore):
    found = (spoken("one"), gap(1, 2), suppressed(2, 3), failed(3, 4), spoken("five"))
    events = [replace(event, session_id=f"0-{number}") for number, event in enumerate(found)]
    for event in events:
        store.add(event)
    assert [*store.events("s")] == events


def test_streams_are_kept_apart_in_the_order_of_their_first_events(store: EventStore):
    for number, stream in enumerate(("b", "a", "b")):
        store.add(spoken(stream, stream_id=stream, utterance=number))
    assert store.streams() == ["b", "a"]
    assert [event.text for event in store.events("b")] == ["b", "b"]
    assert [*store.events("c")] == []


def test_of_two_events_with_one_id_the_later_is_kept_in_the_place_of_the_first(
    store: EventStore,
):
    for text, utterance in (("first", 0), ("second", 1), ("first again", 0)):
        store.add(spoken(text, utterance=utterance))
    assert [event.text for event in store.events("s")] == ["first again", "second"]


def test_events_that_cover_no_stretch_of_a_recording_are_not_kept(store: EventStore):
    store.add(StreamWarning(stream_id="s", session_id="0-0", index=0, time_ms=0, message="x"))
    assert store.streams() == []
