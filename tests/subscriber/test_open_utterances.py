from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tail_events import event, final, partial, started

from schemas.transcript import AnyEvent, StreamEnded, StreamEndReason, UtteranceFailed
from subscriber.open_utterances import SILENT_S, OpenUtterances

ENDED = event(
    StreamEnded, reason=StreamEndReason.END, utterances=1, audio_s=1.0, speech_s=1.0, gaps=0
)
FAILED = event(
    UtteranceFailed, utterance=0, start_sample=0, end_sample=1, rate=8_000, reason="undecodable"
)


def after(*events: AnyEvent) -> list[AnyEvent]:
    utterances = OpenUtterances()
    for each in events:
        utterances.update(each, 0.0)
    return [*utterances]


def test_the_newest_partial_is_the_open_utterance():
    newest = partial("one two", revision=2)
    assert after(started(), partial("one"), newest) == [newest]


def test_a_repeated_or_older_partial_changes_nothing():
    newest = partial("one two", revision=2)
    assert after(newest, partial("one", revision=1), started(), newest) == [newest]


@pytest.mark.parametrize("end", [final("one"), FAILED, ENDED])
def test_an_utterance_is_open_until_its_end(end: AnyEvent):
    assert after(partial("one"), end) == []


@pytest.mark.parametrize("end", [final("one"), FAILED, ENDED])
def test_a_partial_that_comes_after_the_end_is_ignored(end: AnyEvent):
    assert after(end, partial("one"), started()) == []


def test_a_final_leaves_a_later_utterance_open():
    later = partial("two", utterance=1)
    assert after(later, final("one")) == [later]


def test_a_new_session_begins_with_its_first_utterance():
    again = replace(started(), session_id="0-9")
    assert after(final("one", utterance=5), again) == [again]
    assert after(partial("one", utterance=5), again) == [again]


def test_the_final_of_a_new_session_ends_what_the_old_one_left_open():
    assert after(partial("one", utterance=5), final("two", session_id="0-9")) == []


def test_streams_do_not_change_each_other():
    other = partial("b", stream_id="b")
    assert after(partial("a"), other, final("a")) == [other]


def test_an_utterance_without_partials_is_forgotten():
    utterances = OpenUtterances()
    utterances.update(partial("one"), 0.0)
    utterances.expire(SILENT_S - 0.1)
    assert utterances.of("call-7") == partial("one")
    utterances.expire(SILENT_S)
    assert utterances.of("call-7") is None


def test_a_partial_keeps_its_utterance_open():
    utterances = OpenUtterances()
    utterances.update(partial("one"), 0.0)
    utterances.update(partial("one two", revision=2), 5.0)
    utterances.expire(SILENT_S + 1)
    assert utterances.of("call-7") == partial("one two", revision=2)


INTERIM = st.builds(
    partial,
    st.just("text"),
    utterance=st.integers(0, 3),
    revision=st.integers(0, 3),
)
FINALS = st.integers(0, 3).map(lambda number: final("text", utterance=number))


@given(events=st.lists(st.one_of(INTERIM, FINALS), max_size=20))
def test_no_utterance_is_open_after_its_final_in_any_order(events: list[AnyEvent]):
    for count in range(len(events) + 1):
        shown = after(*events[:count])
        finals = [each.utterance for each in events[:count] if each.TYPE.endswith("final")]
        assert len(shown) <= 1
        assert all(each.utterance > finals[-1] for each in shown if finals)
