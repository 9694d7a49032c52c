from __future__ import annotations

import numpy as np
import pytest
from builders import OPTIONS, PARTITION, RATE, SEGMENTER, loud, quiet

from consumer.core.audio.segmenter import Cut
from consumer.core.audio.utterance import EndReason, Int16Array
from consumer.core.streams.entries import PendingUtterance
from consumer.core.streams.records import SessionKey
from consumer.core.streams.session import Session, SessionStart
from consumer.core.streams.timeline import AudioSegment
from consumer.testing import EchoEngine
from schemas.audio import StreamOptions
from schemas.transcript import AnyEvent, Source, StreamEndReason

SECOND = RATE
FIRST_MS = 1_700_000_000_000


class Driven:
    """A session that hears whatever is not zero; its first record has offset 40."""

    def __init__(self, first: int = 0, options: StreamOptions = OPTIONS) -> None:
        key = SessionKey(PARTITION, "s", "0-40")
        start = SessionStart(key, first, FIRST_MS, RATE, 1, options, (), "trace")
        self.session = Session.start(start, SEGMENTER)
        self.events: list[AnyEvent] = [*self.session.announce(start.problems)]
        self.heard: list[PendingUtterance] = []
        self._offset = 40

    def append(self, audio: Int16Array) -> None:
        first = self.session.end
        wall_ms = FIRST_MS + first * 1000 / RATE
        self.session.append(AudioSegment(audio, first, self._offset, wall_ms, 0))
        self._offset += 1
        while (request := self.session.score_request()) is not None:
            cut = self.session.on_scores(EchoEngine().score_one(request))
            if cut is not None:
                self._apply(cut)

    def close(self, reason: EndReason = EndReason.FLUSH) -> None:
        self._apply(self.session.close_utterance(reason))

    def _apply(self, cut: Cut) -> None:
        pending = self.session.apply(cut)
        self.heard += [] if pending is None else [pending]


def test_what_a_final_will_say_about_an_utterance():
    driven = Driven()
    driven.append(quiet(1))
    driven.append(loud(1))
    driven.append(quiet(1))
    (heard,) = driven.heard
    assert heard.id == (driven.session.key, 0)
    assert heard.index == 1
    assert heard.source == Source(*PARTITION, 40, 42)
    assert heard.traceparent == "trace"
    assert heard.options is OPTIONS
    assert heard.utterance.end_reason is EndReason.SILENCE
    assert heard.started_at_ms == FIRST_MS + heard.utterance.start * 1000 // RATE
    assert heard.speech_end_ms == FIRST_MS + 2_016  # its last window ends there
    assert heard.ended_at_ms == heard.speech_end_ms + 200


def undecided(driven: Driven) -> list[int]:
    return [sound.offset for sound in driven.session.undecided]


def test_undecided_audio_is_held_until_a_cut():
    driven = Driven()
    assert undecided(driven) == []
    driven.append(quiet(1))
    driven.append(loud(1))
    assert undecided(driven) == [40, 41]
    driven.append(quiet(1))
    assert undecided(driven) == [42]
    assert driven.session.state.cut == driven.heard[0].utterance.end
    driven.close()
    assert undecided(driven) == []


def test_a_session_goes_on_from_its_state_as_if_nothing_had_happened():
    audio = [quiet(1), loud(1), quiet(1), loud(1), quiet(1)]
    whole, first = Driven(), Driven()
    for part in audio:
        whole.append(part)
    for part in audio[:3]:
        first.append(part)
    state = first.session.state
    again = Driven()
    again.session = Session(whole.session.key, state, SEGMENTER, 2 * SECOND)
    for part in audio[2:]:
        again.append(part)
    (heard,) = again.heard
    assert (heard.id, heard.index) == (whole.heard[1].id, whole.heard[1].index)
    assert (heard.utterance.start, heard.utterance.end) == (
        whole.heard[1].utterance.start,
        whole.heard[1].utterance.end,
    )
    assert again.session.state == whole.session.state


def test_long_silence_is_let_go_but_for_a_pre_roll():
    driven = Driven()
    for _ in range(101):
        driven.append(quiet(0.1))
    assert driven.heard == []
    assert 40 + 96 <= undecided(driven)[0] <= 40 + 98


def test_the_longest_utterance_is_split_and_nothing_falls_between():
    driven = Driven()
    driven.append(loud(40))
    assert driven.session.in_speech
    driven.close()
    spans = [(heard.utterance.start, heard.utterance.end) for heard in driven.heard]
    assert spans[0][0] == 0
    assert spans[-1][1] == 40 * SECOND
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(end - start <= 15 * SECOND for start, end in spans)
    assert [h.utterance.end_reason for h in driven.heard[:-1]] == [EndReason.MAX_LENGTH] * 2


def test_after_a_gap_the_axis_goes_on_behind_it():
    driven = Driven(first=500)
    driven.append(loud(1))
    driven.close(EndReason.GAP)
    driven.session.insert_gap(90_000, FIRST_MS + 60_000, estimated=False)
    assert driven.session.end == 90_000
    assert undecided(driven) == []
    driven.append(loud(1))
    driven.close()
    assert [h.utterance.start for h in driven.heard] == [500, 90_000]


def test_the_totals_count_what_was_heard():
    driven = Driven()
    driven.append(np.concatenate([quiet(1), loud(1), quiet(1)]))
    driven.close()
    driven.session.insert_gap(10 * SECOND, FIRST_MS, estimated=True)
    driven.append(loud(1))
    driven.close()
    ended = driven.session.finish(StreamEndReason.END)
    assert (ended.utterances, ended.gaps, ended.audio_s) == (2, 1, 4.0)
    assert ended.speech_s == sum(heard.utterance.seconds for heard in driven.heard)
    assert ended.reason is StreamEndReason.END


def test_every_event_has_its_number():
    driven = Driven()
    driven.append(loud(1))
    driven.close()
    driven.events.append(driven.session.finish(StreamEndReason.IDLE))
    assert driven.heard[0].index == 1
    assert [event.index for event in driven.events] == [0, 2]


def test_audio_is_given_to_the_detector_once_between_two_cuts():
    session = Driven().session
    session.append(AudioSegment(loud(0.1), 0, 40, FIRST_MS, 0))
    request = session.score_request()
    assert request is not None
    assert len(request.samples) == 1600
    assert session.score_request() is None
    session.append(AudioSegment(loud(0.1), 1600, 41, FIRST_MS, 0))
    again = session.score_request()
    assert again is not None
    assert len(again.samples) == 1600
    assert again.vad is request.vad


def test_a_cut_gives_the_detector_a_new_ear_and_the_audio_behind_it():
    driven = Driven()
    driven.append(loud(1))
    driven.session.append(AudioSegment(quiet(1), SECOND, 41, FIRST_MS, 0))
    before = driven.session.score_request()
    assert before is not None
    cut = driven.session.on_scores(EchoEngine().score_one(before))
    assert cut is not None
    driven.session.apply(cut)
    after = driven.session.score_request()
    assert after is not None
    assert after.vad is not before.vad
    assert after.vad.detector is None


def test_an_utterance_is_not_closed_before_all_of_it_was_scored():
    driven = Driven()
    driven.append(loud(1))
    driven.session.append(AudioSegment(loud(1), SECOND, 41, FIRST_MS, 0))
    with pytest.raises(ValueError, match="windows were scored"):
        driven.close()
