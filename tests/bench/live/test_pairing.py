from __future__ import annotations

import numpy as np
import pytest

from bench.live.heard import Axis, Final, Onset, Partial
from bench.live.pairing import Answer, answers, dealt, first_text_s, latencies, onset_s
from bench.live.programme import Programme, Spoken, joined
from schemas.transcript import TranscriptPartial, UtteranceStarted

RATE = 16_000
AXIS = Axis(begin_s=1000.0, pace=1.0)
CLIP = Spoken("c", "en", "hello", np.zeros(2 * RATE, np.int16), ((RATE // 2, 3 * RATE // 2),))


def programme() -> Programme:
    """Speech from 1.5 to 2.5 and from 5.5 to 6.5 s."""
    return joined("s", [CLIP, CLIP], [RATE, 2 * RATE])


def final(start_s: float, end_s: float, at_s: float, text: str = "hello") -> Final:
    return Final("s", start_s, end_s, text, AXIS.begin_s + at_s)


def answered(*finals: Final, given_up_at_s: float | None = None) -> list[Answer]:
    return answers(programme(), finals, AXIS, unfinished_at_s=given_up_at_s)


def test_latency_counts_from_the_end_of_the_speech_not_of_the_audio():
    one, two = answered(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    assert (one.latency_s, two.latency_s) == (pytest.approx(0.6), pytest.approx(1.0))


def test_of_several_finals_the_last_one_counts():
    one, _ = answered(final(1.2, 1.9, 2.2), final(2.0, 2.7, 3.0), final(5.2, 6.7, 7.5))
    assert one.latency_s == pytest.approx(0.5)
    assert len(one.finals) == 2


def test_a_final_of_what_follows_the_speech_answers_nothing():
    one, _ = answered(final(1.2, 2.4, 3.1), final(2.6, 3.0, 9.0), final(5.2, 6.7, 7.5))
    assert one.latency_s == pytest.approx(0.6)


def test_without_a_final_a_clip_was_missed_if_its_stream_has_ended():
    one, two = answered(final(5.2, 6.7, 7.5))
    assert (one.latency_s, one.overdue_s) == (None, None)
    assert latencies([one, two]) == [pytest.approx(1.0)]


def test_without_a_final_a_clip_is_overdue_if_its_stream_goes_on():
    _, two = answered(final(1.2, 2.7, 3.1), given_up_at_s=AXIS.begin_s + 16.5)
    assert latencies([two]) == [pytest.approx(10.0)]


def test_half_a_clip_is_overdue_too():
    (_, two) = answered(final(5.2, 5.8, 6.0), given_up_at_s=AXIS.begin_s + 16.5)
    assert two.latency_s is None
    assert two.overdue_s == pytest.approx(10.0)


def test_twice_the_pace_halves_the_times():
    quick = Axis(1000.0, 2.0)
    (one, _) = answers(
        programme(),
        [Final("s", 1.2, 2.7, "", 1002.0), Final("s", 5.2, 6.7, "", 1004.0)],
        quick,
        unfinished_at_s=None,
    )
    assert one.latency_s == pytest.approx(0.75)


def test_every_final_is_dealt_to_the_clip_that_it_overlaps_most():
    early, cross, late, stray = (
        final(1.0, 2.0, 0),
        final(2.5, 5.1, 0),
        final(5.0, 7.0, 0),
        final(8.5, 9.0, 0),
    )
    first, second = dealt(programme(), [stray, late, cross, early])
    assert first == [early, cross]
    assert second == [late, stray]


def partial(start_s: float, end_s: float, at_s: float, text: str) -> Partial:
    event = TranscriptPartial(
        stream_id="s",
        session_id="0-0",
        index=0,
        time_ms=0,
        utterance=0,
        revision=1,
        start_s=start_s,
        end_s=end_s,
        language="en",
        stable_text="",
        tentative_text=text,
    )
    return Partial(AXIS.begin_s + at_s, event)


def test_the_first_text_is_a_partial_or_else_the_final():
    one, two = answered(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    partials = [partial(1.2, 1.8, 2.0, ""), partial(1.2, 2.3, 2.4, "he")]
    assert first_text_s(one, partials, AXIS) == pytest.approx(0.9)
    assert first_text_s(two, partials, AXIS) == pytest.approx(2.0)


def test_an_onset_is_of_the_clip_that_it_precedes():
    event = UtteranceStarted(
        stream_id="s", session_id="0-0", index=0, time_ms=0, utterance=1, start_s=5.2
    )
    one, two = answered(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    onsets = [Onset(AXIS.begin_s + 5.9, event)]
    assert onset_s(one, onsets, AXIS) is None
    assert onset_s(two, onsets, AXIS) == pytest.approx(0.4)
