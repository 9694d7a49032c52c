from __future__ import annotations

import pytest
from example_events import transcript_final
from live_observations import CLOCK, RATE, observation, speech_clip

from bench.live.conversations import join_clips
from bench.live.latency import ClipResult, clip_results, finals_by_clip, first_text_s, onset_s
from bench.live.observations import (
    PlaybackClock,
    ReceivedEvent,
    ReceivedFinal,
    ReceivedPartial,
)
from schemas.transcript import TranscriptPartial, UtteranceStarted

CLIP = speech_clip("c", "hello", margin_s=0.5)
CONVERSATION = join_clips("s", [CLIP, CLIP], [RATE, 2 * RATE])  # speech 1.5 to 2.5, 5.5 to 6.5 s


def final(start_s: float, end_s: float, at_s: float, text: str = "hello") -> ReceivedFinal:
    event = transcript_final(start_s=start_s, end_s=end_s, text=text)
    return ReceivedEvent(CLOCK.start_s + at_s, event)


def results(
    *finals: ReceivedFinal, until_s: float | None = None, clock: PlaybackClock = CLOCK
) -> list[ClipResult]:
    """Return the results of both clips; `until_s`: the stream has not ended then."""
    given_up_s = None if until_s is None else CLOCK.start_s + until_s
    observed = observation(*finals, conversations=[CONVERSATION], clock=clock, until_s=given_up_s)
    return clip_results([observed])


def test_latency_counts_from_the_end_of_the_speech_not_of_the_audio():
    one, two = results(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    assert (one.latency_s, two.latency_s) == (pytest.approx(0.6), pytest.approx(1.0))


def test_of_several_finals_the_last_one_counts():
    one, _ = results(final(1.2, 1.9, 2.2), final(2.0, 2.7, 3.0), final(5.2, 6.7, 7.5))
    assert one.latency_s == pytest.approx(0.5)
    assert len(one.finals) == 2


def test_a_final_that_starts_after_the_speech_does_not_count():
    one, _ = results(final(1.2, 2.4, 3.1), final(2.6, 3.0, 9.0), final(5.2, 6.7, 7.5))
    assert one.latency_s == pytest.approx(0.6)


def test_a_clip_without_a_final_is_missed_if_its_stream_has_ended():
    one, two = results(final(5.2, 6.7, 7.5))
    assert (one.latency_s, one.overdue_s, one.is_missed) == (None, None, True)
    assert [one.wait_s, two.wait_s] == [None, pytest.approx(1.0)]


def test_a_clip_without_a_final_is_overdue_if_its_stream_has_not_ended():
    _, two = results(final(1.2, 2.7, 3.1), until_s=16.5)
    assert two.wait_s == pytest.approx(10.0)


def test_half_a_clip_is_overdue_too():
    _, two = results(final(5.2, 5.8, 6.0), until_s=16.5)
    assert two.latency_s is None
    assert two.overdue_s == pytest.approx(10.0)


def test_at_twice_the_pace_speech_ends_in_half_the_time():
    finals = (final(1.2, 2.7, 2.0, ""), final(5.2, 6.7, 4.0, ""))
    one, _ = results(*finals, clock=PlaybackClock(1000.0, 2.0))
    assert one.latency_s == pytest.approx(0.75)


def test_every_final_is_assigned_to_the_clip_that_it_overlaps_most():
    early, cross, late, stray = (
        final(1.0, 2.0, 0),
        final(2.5, 5.1, 0),
        final(5.0, 7.0, 0),
        final(8.5, 9.0, 0),
    )
    (_, first), (_, second) = finals_by_clip(CONVERSATION, [early, cross, late, stray])
    assert first == [early, cross]
    assert second == [late, stray]


def partial(start_s: float, end_s: float, at_s: float, text: str) -> ReceivedPartial:
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
    return ReceivedEvent(CLOCK.start_s + at_s, event)


def test_the_first_text_is_that_of_a_partial_or_else_of_the_final():
    one, two = results(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    partials = [partial(1.2, 1.8, 2.0, ""), partial(1.2, 2.3, 2.4, "he")]
    assert first_text_s(one, partials) == pytest.approx(0.9)
    assert first_text_s(two, partials) == pytest.approx(2.0)


def test_an_onset_belongs_to_the_clip_that_follows_it():
    event = UtteranceStarted(
        stream_id="s", session_id="0-0", index=0, time_ms=0, utterance=1, start_s=5.2
    )
    one, two = results(final(1.2, 2.7, 3.1), final(5.2, 6.7, 7.5))
    onsets = [ReceivedEvent(CLOCK.start_s + 5.9, event)]
    assert onset_s(one, onsets) is None
    assert onset_s(two, onsets) == pytest.approx(0.4)
