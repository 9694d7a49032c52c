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


class SessionHarness:
    """A session whose detector scores non-zero samples as speech; its first offset is 40."""

    def __init__(self, first: int = 0, options: StreamOptions = OPTIONS) -> None:
        key = SessionKey(PARTITION, "s", "0-40")
        start = SessionStart(key, first, FIRST_MS, RATE, 1, options, (), "trace")
        self.session = Session.start(start, SEGMENTER)
        self.events: list[AnyEvent] = [*self.session.announce(start.problems)]
        self.pending: list[PendingUtterance] = []
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
        self.pending += [] if pending is None else [pending]


def test_a_pending_utterance_has_all_that_its_final_needs():
    harness = SessionHarness()
    harness.append(quiet(1))
    harness.append(loud(1))
    harness.append(quiet(1))
    (pending,) = harness.pending
    assert pending.id == (harness.session.key, 0)
    assert pending.index == 1
    assert pending.source == Source(*PARTITION, 40, 42)
    assert pending.traceparent == "trace"
    assert pending.options is OPTIONS
    assert pending.utterance.end_reason is EndReason.SILENCE
    assert pending.started_at_ms == FIRST_MS + pending.utterance.start * 1000 // RATE
    assert pending.speech_end_ms == FIRST_MS + 2_016  # its last window ends there
    assert pending.ended_at_ms == pending.speech_end_ms + 200


def undecided(harness: SessionHarness) -> list[int]:
    return [segment.offset for segment in harness.session.undecided]


def test_undecided_audio_is_held_until_a_cut():
    harness = SessionHarness()
    assert undecided(harness) == []
    harness.append(quiet(1))
    harness.append(loud(1))
    assert undecided(harness) == [40, 41]
    harness.append(quiet(1))
    assert undecided(harness) == [42]
    assert harness.session.state.cut == harness.pending[0].utterance.end
    harness.close()
    assert undecided(harness) == []


def test_a_session_restored_from_its_state_continues_unchanged():
    audio = [quiet(1), loud(1), quiet(1), loud(1), quiet(1)]
    whole, first = SessionHarness(), SessionHarness()
    for part in audio:
        whole.append(part)
    for part in audio[:3]:
        first.append(part)
    state = first.session.state
    resumed = SessionHarness()
    resumed.session = Session(whole.session.key, state, SEGMENTER, 2 * SECOND)
    for part in audio[2:]:
        resumed.append(part)
    (pending,) = resumed.pending
    assert (pending.id, pending.index) == (whole.pending[1].id, whole.pending[1].index)
    assert (pending.utterance.start, pending.utterance.end) == (
        whole.pending[1].utterance.start,
        whole.pending[1].utterance.end,
    )
    assert resumed.session.state == whole.session.state


def test_long_silence_is_released_except_for_a_pre_roll():
    harness = SessionHarness()
    for _ in range(101):
        harness.append(quiet(0.1))
    assert harness.pending == []
    assert 40 + 96 <= undecided(harness)[0] <= 40 + 98


def test_an_utterance_of_maximum_length_is_split_without_a_gap():
    harness = SessionHarness()
    harness.append(loud(40))
    assert harness.session.in_speech
    harness.close()
    spans = [(each.utterance.start, each.utterance.end) for each in harness.pending]
    assert spans[0][0] == 0
    assert spans[-1][1] == 40 * SECOND
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert all(end - start <= 15 * SECOND for start, end in spans)
    assert [each.utterance.end_reason for each in harness.pending[:-1]] == [
        EndReason.MAX_LENGTH
    ] * 2


def test_audio_after_a_gap_has_positions_after_the_gap():
    harness = SessionHarness(first=500)
    harness.append(loud(1))
    harness.close(EndReason.GAP)
    harness.session.insert_gap(90_000, FIRST_MS + 60_000, estimated=False)
    assert harness.session.end == 90_000
    assert undecided(harness) == []
    harness.append(loud(1))
    harness.close()
    assert [each.utterance.start for each in harness.pending] == [500, 90_000]


def test_the_end_event_totals_audio_speech_utterances_and_gaps():
    harness = SessionHarness()
    harness.append(np.concatenate([quiet(1), loud(1), quiet(1)]))
    harness.close()
    harness.session.insert_gap(10 * SECOND, FIRST_MS, estimated=True)
    harness.append(loud(1))
    harness.close()
    ended = harness.session.finish(StreamEndReason.END)
    assert (ended.utterances, ended.gaps, ended.audio_s) == (2, 1, 4.0)
    assert ended.speech_s == sum(each.utterance.seconds for each in harness.pending)
    assert ended.reason is StreamEndReason.END


def test_events_and_finals_share_one_index():
    harness = SessionHarness()
    harness.append(loud(1))
    harness.close()
    harness.events.append(harness.session.finish(StreamEndReason.IDLE))
    assert harness.pending[0].index == 1
    assert [event.index for event in harness.events] == [0, 2]


def test_audio_is_scored_once_between_two_cuts():
    session = SessionHarness().session
    session.append(AudioSegment(loud(0.1), 0, 40, FIRST_MS, 0))
    request = session.score_request()
    assert request is not None
    assert len(request.samples) == 1600
    assert session.score_request() is None
    session.append(AudioSegment(loud(0.1), 1600, 41, FIRST_MS, 0))
    second = session.score_request()
    assert second is not None
    assert len(second.samples) == 1600
    assert second.vad is request.vad


def test_a_cut_starts_a_new_detector_state():
    harness = SessionHarness()
    harness.append(loud(1))
    harness.session.append(AudioSegment(quiet(1), SECOND, 41, FIRST_MS, 0))
    before = harness.session.score_request()
    assert before is not None
    cut = harness.session.on_scores(EchoEngine().score_one(before))
    assert cut is not None
    harness.session.apply(cut)
    after = harness.session.score_request()
    assert after is not None
    assert after.vad is not before.vad
    assert after.vad.detector is None


def test_an_utterance_cannot_be_closed_before_all_its_audio_is_scored():
    harness = SessionHarness()
    harness.append(loud(1))
    harness.session.append(AudioSegment(loud(1), SECOND, 41, FIRST_MS, 0))
    with pytest.raises(ValueError, match="windows were scored"):
        harness.close()
