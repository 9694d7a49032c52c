from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from builders import OPTIONS, RATE, audio_of, loud, loud_stretches, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_harness import OneStream, spans, without_offsets

from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest
from consumer.core.streams.records import StatedHeaders
from consumer.core.streams.reorder import REORDER_WINDOW
from consumer.core.streams.session_options import complete
from consumer.testing import EchoEngine
from schemas.audio import AudioChunk, StreamOptions, Task
from schemas.errors import Reason, WireError
from schemas.transcript import (
    StreamEnded,
    StreamEndReason,
    StreamGap,
    StreamLoss,
    StreamStarted,
    StreamWarning,
    TranscriptFinal,
)

SECOND = RATE


def ends(stream: OneStream) -> list[StreamEndReason]:
    return [event.reason for event in stream.events() if isinstance(event, StreamEnded)]


def gaps(stream: OneStream) -> list[tuple[int, int, bool]]:
    return [
        (event.start_sample, event.end_sample, event.estimated)
        for event in stream.events()
        if isinstance(event, StreamGap)
    ]


# --- start, cuts and end


def test_a_stream_publishes_start_final_and_end():
    stream = OneStream()
    stream.speak(np.concatenate([quiet(1), loud(2), quiet(1)]))
    stream.send(quiet(0.1), end=True)
    assert stream.kinds() == ["started", "final", "ended"]
    assert stream.stream.is_over


def test_a_session_is_named_by_its_first_record():
    stream = OneStream()
    stream.send(loud(1), end=True)
    stream.send(loud(1), end=True)
    assert [event.session_id for event in stream.events()] == ["0-0"] * 3 + ["0-1"] * 3


def test_a_record_without_audio_can_end_a_stream():
    stream = OneStream()
    stream.send(loud(1))
    assert stream.send(quiet(0), end=True)
    assert stream.kinds() == ["started", "final", "ended"]


@pytest.mark.parametrize("header", ["end", "flush"])
def test_an_end_or_flush_alone_starts_no_session(header: str):
    stream = OneStream()
    stream.send(quiet(0), **{header: True})
    assert stream.stream.is_over
    assert stream.events() == []


def test_a_flush_ends_the_open_utterance_and_the_stream_continues():
    stream = OneStream()
    stream.send(loud(1), flush=True)
    assert stream.reasons == [EndReason.FLUSH]
    stream.send(loud(1), end=True)
    assert stream.reasons == [EndReason.FLUSH, EndReason.END_OF_STREAM]
    assert spans(stream) == [(0, SECOND), (SECOND, 2 * SECOND)]


def test_a_flush_in_silence_publishes_nothing():
    stream = OneStream()
    stream.send(quiet(1), flush=True)
    assert stream.utterances == []
    assert stream.kinds() == ["started"]


def test_a_stall_ends_the_open_utterance_and_the_stream_continues():
    stream = OneStream()
    stream.send(loud(1))
    assert stream.stream.in_speech
    stream.stall()
    assert stream.reasons == [EndReason.STALLED]
    assert not stream.stream.waits
    stream.send(loud(1), end=True)
    assert stream.kinds() == ["started", "final", "final", "ended"]


def test_a_short_rest_of_speech_after_a_stall_is_an_utterance():
    stream = OneStream()
    stream.send(loud(1))
    stream.stall()
    stream.send(loud(0.1))
    stream.send(quiet(1))
    assert spans(stream) == [
        (0, SECOND),
        (SECOND, 21_248),
    ]  # the end of a window, and the post-roll
    assert not stream.stream.waits


def test_after_a_cut_in_speech_the_detector_gets_the_audio_before_it_as_lead_in():
    lead_ins: list[Int16Array | None] = []
    engine = EchoEngine()

    def score(request: ScoreRequest) -> Float32Array:
        if request.vad.detector is None:
            lead_ins.append(request.vad.lead_in)
        return engine.score_one(request)

    stream = OneStream(score=score)
    stream.speak(loud(3))
    stream.stall()
    stream.speak(loud(1))
    stream.speak(quiet(2))
    stream.speak(loud(1))
    assert [None if each is None else len(each) for each in lead_ins[:3]] == [None, RATE, None]


def test_a_stalled_stream_does_not_stall_again():
    stream = OneStream()
    stream.send(loud(1))
    stream.stall()
    assert stream.stream.in_speech
    assert not stream.stream.waits


def test_expiry_closes_the_open_utterance_and_ends_the_session():
    stream = OneStream()
    stream.send(loud(1))
    stream.expire()
    assert stream.stream.is_over
    assert stream.reasons == [EndReason.END_OF_STREAM]
    assert ends(stream) == [StreamEndReason.IDLE]


def test_without_a_session_stall_and_expiry_do_nothing():
    stream = OneStream()
    stream.stream.stall(stream.ledger.next_offset)
    stream.expire()
    assert stream.stream.is_over


def test_a_backlog_is_scored_hardly_more_than_once() -> None:
    """Audio after a cut is scored again, so a request is limited to a few seconds."""
    engine, scored = EchoEngine(), 0

    def score(request: ScoreRequest) -> Float32Array:
        nonlocal scored
        scored += len(request.samples)
        return engine.score_one(request)

    stream = OneStream(score=score)
    audio = np.tile(np.concatenate([loud(3), quiet(1)]), 50)
    for at in range(0, len(audio), RATE):
        samples = audio[at : at + RATE].tobytes()
        stream.push(stream.log.append(AudioChunk("s", samples, rate=RATE, channels=1)))
    stream.score()
    assert len(stream.utterances) == 50
    assert scored < 1.5 * len(audio)


def test_an_unrequested_score_is_rejected():
    with pytest.raises(ValueError, match="no scores were requested"):
        OneStream().stream.on_scores(np.zeros(1, np.float32))


# --- duplicates and restarts


def test_a_duplicate_is_dropped():
    stream = OneStream()
    assert stream.send(loud(1), seq=3)
    assert stream.send(loud(1), seq=4)
    assert not stream.send(loud(1), seq=3)
    assert not stream.send(loud(1), seq=4)
    stream.send(quiet(0), seq=5, end=True)
    assert spans(stream) == [(0, 2 * SECOND)]


def test_the_first_record_again_is_a_duplicate():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    assert not stream.send(loud(1), seq=0, start=0)
    assert stream.kinds() == ["started"]


def test_the_first_number_with_other_audio_is_a_restart():
    stream = OneStream()
    stream.send(loud(1), seq=0)
    stream.send(loud(1), seq=1)
    assert stream.send(loud(2), seq=0)
    assert stream.reasons == [EndReason.END_OF_STREAM]
    assert stream.stream.in_speech
    stream.send(quiet(0), seq=1, end=True)
    assert spans(stream) == [(0, 2 * SECOND), (0, 2 * SECOND)]
    kinds = ["started", "final", "ended", "started", "warning", "final", "ended"]
    assert stream.kinds() == kinds


@pytest.mark.parametrize(("place", "first"), [("start", 0), ("captured_ms", 1_700_000_000_000)])
def test_the_first_number_and_audio_at_another_position_are_a_restart(place: str, first: int):
    stream = OneStream()
    stream.send(quiet(1), seq=0, **{place: first + 1_000})
    stream.send(quiet(1), seq=1)
    assert stream.send(quiet(1), seq=0, **{place: first + 90_000})
    assert ends(stream) == [StreamEndReason.RESTART]


def test_a_number_before_the_first_is_a_restart():
    """Else the records of a stream that was joined midway and restarts would be duplicates."""
    stream = OneStream()
    stream.send(loud(1), seq=57)
    assert stream.send(loud(1), seq=0)
    assert ends(stream) == [StreamEndReason.RESTART]


def test_without_numbers_no_record_is_a_duplicate():
    stream = OneStream()
    for _ in range(3):
        assert stream.send(loud(1))
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, 3 * SECOND)]


def test_after_a_record_without_a_number_a_jump_is_no_gap():
    stream = OneStream()
    stream.send(loud(1), seq=5)
    stream.send(loud(1))
    stream.send(loud(1), seq=90)
    assert gaps(stream) == []


# --- gaps and overlaps


def test_a_gap_in_the_numbers_ends_the_utterance_and_is_estimated():
    stream = OneStream()
    stream.send(loud(1), seq=0)
    stream.send(loud(0.5), seq=1)
    stream.send(loud(1), seq=4)
    assert stream.reasons == []  # the missing ones may be late
    stream.stall()
    assert stream.reasons == [EndReason.GAP, EndReason.STALLED]
    assert spans(stream)[0] == (0, SECOND * 3 // 2)
    assert spans(stream)[1] == (SECOND * 5 // 2, SECOND * 7 // 2)
    assert gaps(stream) == [(SECOND * 3 // 2, SECOND * 5 // 2, True)]


def test_a_gap_by_positions_is_exact():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    stream.send(loud(1), seq=4, start=3 * SECOND)
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, SECOND), (3 * SECOND, 4 * SECOND)]
    assert gaps(stream) == [(SECOND, 3 * SECOND, False)]


def test_positions_without_a_gap_override_a_jump_in_the_numbers():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    stream.send(loud(1), seq=9, start=SECOND)
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, 2 * SECOND)]
    assert gaps(stream) == []


def test_the_gap_comes_between_the_finals_around_it():
    stream = OneStream()
    stream.send(loud(1), start=0)
    stream.send(loud(1), start=2 * SECOND, end=True)
    events = stream.events()
    assert [type(event) for event in events] == [
        StreamStarted,
        TranscriptFinal,
        StreamGap,
        TranscriptFinal,
        StreamEnded,
    ]
    assert [event.index for event in events] == list(range(5))


def test_the_position_of_an_end_record_shows_a_gap_before_it():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    stream.send(quiet(0), seq=1, start=3 * SECOND, end=True)
    assert gaps(stream) == [(SECOND, 3 * SECOND, False)]


def test_a_small_overlap_is_trimmed():
    stream = OneStream()
    stream.send(np.arange(16_000, dtype=np.int16), start=0)
    stream.send(np.arange(15_040, 31_040, dtype=np.int16), start=15_040)
    stream.send(quiet(0), end=True)
    (utterance,) = stream.utterances
    np.testing.assert_array_equal(utterance.samples, np.arange(31_040))


def test_a_record_that_only_overlaps_adds_nothing():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    assert stream.send(loud(0.01), seq=1, start=SECOND - 480)
    stream.send(loud(1), seq=2, start=SECOND)
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, 2 * SECOND)]


def test_a_large_overlap_is_rejected_and_the_stream_continues():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    with pytest.raises(WireError, match="lies 961 samples before the end") as raised:
        stream.send(loud(1), seq=1, start=SECOND - 961)
    assert raised.value.reason is Reason.OVERLAP
    assert stream.send(loud(1), seq=1, start=SECOND)
    stream.send(quiet(0), seq=2, end=True)
    assert spans(stream) == [(0, 2 * SECOND)]
    assert gaps(stream) == []


# --- reordered records


def send_numbered(stream: OneStream, *seqs: int) -> None:
    for seq in seqs:
        stream.send(np.full(8_000, seq + 1, np.int16), seq=seq)


def published_order(stream: OneStream) -> list[int]:
    """End the stream; return the numbers of its records in the order of the published audio."""
    stream.send(quiet(0), end=True)
    samples = np.concatenate([utterance.samples for utterance in stream.utterances])
    return (samples[::8_000] - 1).tolist()


@pytest.mark.parametrize(
    "seqs",
    [(0, 2, 1, 3), (0, 3, 2, 1, 4), (0, 1, 8, 2, 3, 4, 5, 6, 7), (0, 2, 2, 1), (0, 2, 4, 3, 1)],
)
def test_late_records_are_reordered(seqs: tuple[int, ...]):
    stream = OneStream()
    send_numbered(stream, *seqs)
    assert published_order(stream) == sorted(set(seqs))
    assert gaps(stream) == []


def test_a_record_that_is_late_by_more_than_the_window_is_missing():
    stream = OneStream()
    send_numbered(stream, 0, *range(2, 10))
    assert stream.reasons == [EndReason.GAP]
    with pytest.raises(WireError) as raised:
        stream.send(loud(0.1), seq=1)
    assert raised.value.reason is Reason.LATE
    assert published_order(stream) == [0, *range(2, 10)]
    assert gaps(stream) == [(8_000, 16_000, True)]


def test_each_missing_record_has_its_own_window():
    stream = OneStream()
    send_numbered(stream, 0, *range(2, 6), *range(7, 11))
    assert stream.reasons == [EndReason.GAP]
    send_numbered(stream, 6)
    assert published_order(stream) == [0, *range(2, 11)]
    assert gaps(stream) == [(8_000, 16_000, True)]


def test_a_restart_does_not_wait_for_missing_records():
    stream = OneStream()
    send_numbered(stream, 5, 7)
    stream.send(loud(1), seq=0)
    assert ends(stream) == [StreamEndReason.RESTART]
    assert gaps(stream) == []


def test_a_reordered_record_that_contradicts_the_stream_is_a_dead_letter():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    stream.send(loud(1), seq=2, start=100)
    stream.send(loud(1), seq=1, start=SECOND)
    stream.send(quiet(0), seq=3, end=True)
    for _, entry_id in stream.pending:
        stream.ledger.complete(entry_id)
    commit = stream.ledger.prepare(lambda _: stream.stream.state())
    assert commit is not None
    (letter,) = commit.dead_letters
    assert (letter.reason, letter.record.offset) == (Reason.OVERLAP, 1)
    assert stream.reasons == [EndReason.GAP]
    assert spans(stream) == [(0, 2 * SECOND)]


# --- sound without speech


def deaf(request: ScoreRequest) -> Float32Array:
    """Score as the test detector does, but find no speech."""
    return EchoEngine().score_one(request) * 0


def hum(seconds: float, amplitude: int = 300) -> Int16Array:
    """Return a tone."""
    times = np.arange(round(seconds * RATE)) / RATE
    return np.rint(amplitude * np.sin(2 * np.pi * 220 * times)).astype(np.int16)


def no_speech_warnings(stream: OneStream) -> list[str]:
    found = [event for event in stream.events() if isinstance(event, StreamWarning)]
    return [event.message for event in found if event.message.startswith("no_speech_heard")]


def test_sound_without_speech_is_one_warning_with_its_level():
    stream = OneStream(score=deaf)
    stream.speak(hum(120), chunk_s=1.0)
    (message,) = no_speech_warnings(stream)
    assert message.startswith("no_speech_heard: 38 s of sound at -44 dBFS without speech: ")


def test_silence_is_no_sound():
    stream = OneStream(score=deaf)
    stream.speak(hum(120, amplitude=20), chunk_s=1.0)
    assert no_speech_warnings(stream) == []


def find_loud(request: ScoreRequest) -> Float32Array:
    """Score only samples above 900 as speech."""
    samples = np.where(request.samples > 900, request.samples, 0).astype(np.int16)
    return EchoEngine().score_one(replace(request, samples=samples))


def test_speech_begins_the_time_without_speech_anew():
    often, rare = OneStream(score=find_loud), OneStream(score=find_loud)
    for _ in range(4):
        often.speak(np.concatenate([loud(1), hum(25)]), chunk_s=1.0)
        rare.speak(np.concatenate([loud(1), hum(45)]), chunk_s=1.0)
    assert no_speech_warnings(often) == []
    assert len(no_speech_warnings(rare)) == 1


# --- failed detection


class FailingDetector:
    """Scores as the test detector does, but fails the calls with these numbers."""

    def __init__(self, *calls: int) -> None:
        self._calls = calls
        self._engine = EchoEngine()
        self.made = 0

    def __call__(self, request: ScoreRequest) -> Float32Array | None:
        self.made += 1
        if request.vad.has_failed or self.made in self._calls:
            return None
        return self._engine.score_one(request)


def test_after_a_failed_call_a_stream_is_scored_again_from_its_cut_on():
    expected, stream = OneStream(), OneStream(score=FailingDetector(25))
    for each in (expected, stream):
        each.speak(np.concatenate([quiet(1), loud(2), quiet(1), loud(1), quiet(1)]))
    assert spans(stream) == spans(expected)


def test_speech_whose_detection_fails_twice_is_not_lost():
    stream = OneStream(score=FailingDetector(15, 16))
    stream.speak(np.concatenate([loud(3), quiet(1), loud(2)]))
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, 6 * SECOND)]


def test_a_detector_that_fails_is_tried_again_after_the_next_cut():
    stream = OneStream(score=FailingDetector(1, 2))
    stream.speak(np.concatenate([loud(10), quiet(10), loud(1), quiet(5)]))
    first, last = spans(stream)[0], spans(stream)[-1]
    assert first[1] > 14 * SECOND
    assert last[1] - last[0] < 2 * SECOND


# --- rejected records


def reject(stream: OneStream, seq: int | None, *, end: bool = False) -> None:
    record = stream.log.append_raw(b"s", b"")
    stream.ledger.read(record.offset, record.timestamp_ms)
    stream.stream.reject(record, StatedHeaders(seq, end))
    stream.score()


@pytest.mark.parametrize("seq", [1, None])
def test_the_audio_of_a_rejected_record_is_missing(seq: int | None):
    stream = OneStream()
    stream.send(loud(1), seq=None if seq is None else 0)
    reject(stream, seq)
    assert stream.reasons == [EndReason.GAP]
    stream.send(loud(1), seq=None if seq is None else 2)
    stream.send(quiet(0), end=True)
    assert spans(stream) == [(0, SECOND), (2 * SECOND, 3 * SECOND)]
    assert gaps(stream) == [(SECOND, 2 * SECOND, True)]


def test_with_positions_the_gap_of_a_rejected_record_is_exact():
    stream = OneStream()
    stream.send(loud(1), seq=0, start=0)
    reject(stream, 1)
    stream.send(loud(1), seq=2, start=3 * SECOND)
    stream.send(quiet(0), end=True)
    assert gaps(stream) == [(SECOND, 3 * SECOND, False)]


def test_records_do_not_wait_for_a_rejected_record():
    stream = OneStream()
    send_numbered(stream, 0, 2, 3)
    reject(stream, 1)
    assert published_order(stream) == [0, 2, 3]
    assert gaps(stream) == [(8_000, 16_000, True)]


@pytest.mark.parametrize("seq", [1, None])
def test_the_end_that_a_rejected_record_states_ends_the_session(seq: int | None):
    stream = OneStream()
    stream.send(loud(1), seq=None if seq is None else 0)
    reject(stream, seq, end=True)
    assert stream.kinds()[-1] == "ended"


def test_the_end_of_a_rejected_record_is_ignored_out_of_its_turn():
    stream = OneStream()
    send_numbered(stream, 0, 1)
    reject(stream, 0, end=True)
    assert "ended" not in stream.kinds()


def test_a_rejected_record_without_a_session_is_ignored():
    stream = OneStream()
    reject(stream, 0)
    assert stream.events() == []


# --- unreadable batches


def skip_batch(stream: OneStream, records: int) -> bool:
    """Skip an unreadable batch; return whether the stream reports a loss."""
    batch = stream.log.append_unreadable(records)
    stream.ledger.skip(batch.offset, batch.last_offset, 0)
    reports_loss = stream.stream.skip_unreadable(batch.offset, batch.last_offset)
    stream.score()
    return reports_loss


def test_a_stream_without_numbers_reports_a_possible_loss():
    stream = OneStream()
    stream.send(loud(1))
    assert skip_batch(stream, 3)
    assert stream.reasons == [EndReason.GAP]
    stream.send(loud(1), end=True)
    assert spans(stream) == [(0, SECOND), (SECOND, 2 * SECOND)]
    events = stream.events()
    assert [type(event) for event in events] == [
        *(StreamStarted, TranscriptFinal, StreamLoss, TranscriptFinal, StreamEnded)
    ]
    assert (events[2].first_offset, events[2].last_offset) == (1, 3)


@pytest.mark.parametrize("place", ["seq", "start"])
def test_numbers_or_positions_show_that_nothing_is_missing(place: str):
    """The utterance continues: unreadable batches of one publisher do not cut other streams."""
    stream = OneStream()
    stream.send(loud(1), **{place: 0})
    assert not skip_batch(stream, 3)
    stream.send(loud(1), **{place: 1 if place == "seq" else SECOND}, end=True)
    assert spans(stream) == [(0, 2 * SECOND)]
    assert stream.kinds() == ["started", "final", "ended"]


def test_numbers_show_what_is_missing():
    stream = OneStream()
    send_numbered(stream, 0)
    assert not skip_batch(stream, 2)
    send_numbered(stream, *range(3, 3 + REORDER_WINDOW))
    assert gaps(stream) == [(8_000, 24_000, True)]


def test_without_an_open_session_no_loss_is_reported():
    stream = OneStream()
    assert not skip_batch(stream, 1)
    stream.send(loud(1), end=True)
    assert not skip_batch(stream, 1)
    assert stream.kinds() == ["started", "final", "ended"]


# --- records that were deleted unread


def resumed_after_deletion(log_start: int) -> OneStream:
    """Return a stream of three records, two of them decided, that resumes at `log_start`."""
    before = OneStream()
    for seq in range(3):
        before.send(loud(1), seq=seq, start=seq * SECOND, flush=seq == 1)
    state = before.stream.state()
    after = OneStream(state=state)
    after.log.skip(log_start)
    after.ledger.read(log_start - 1, 0)
    after.append(after.stream.skip_deleted(log_start))
    return after


def test_deleted_records_are_reported_as_a_loss_and_the_session_continues():
    stream = resumed_after_deletion(10)
    stream.send(loud(1), seq=10, start=10 * SECOND)
    stream.send(quiet(0), seq=11, end=True)
    assert stream.kinds() == ["loss", "gap", "final", "ended"]


@pytest.mark.parametrize("numbered", [True, False])
def test_after_deleted_records_an_earlier_number_or_position_is_a_new_session(numbered: bool):
    stream = resumed_after_deletion(10)
    stream.send(loud(1), seq=1 if numbered else None, start=SECOND)
    stream.send(quiet(0), seq=2 if numbered else None, end=True)
    assert spans(stream) == [(SECOND, 2 * SECOND)]
    assert stream.kinds() == ["loss", "ended", "started", "final", "ended"]


def test_after_deleted_records_an_ended_stream_drops_no_duplicates():
    before = OneStream()
    send_numbered(before, 0, 1, 2)
    before.send(quiet(0), seq=3, end=True)
    after = OneStream(state=before.stream.state())
    after.log.skip(10)
    after.ledger.read(9, 0)
    after.append(after.stream.skip_deleted(10))
    again = OneStream(state=after.stream.state())
    for stream in (after, again):
        stream.log.skip(10)
        assert stream.send(loud(1), seq=2)
        stream.send(quiet(0), seq=3, end=True)
        assert stream.kinds() == ["started", "final", "ended"]


# --- sessions that have ended


def test_a_duplicate_of_a_record_of_an_ended_session_is_dropped():
    stream = OneStream()
    send_numbered(stream, 0, 1)
    stream.send(quiet(0), seq=2, end=True)
    assert not stream.send(np.full(8_000, 1, np.int16), seq=0)
    assert not stream.send(quiet(0), seq=2, end=True)
    assert stream.kinds() == ["started", "final", "ended"]


def test_other_audio_after_the_end_is_a_new_session():
    stream = OneStream()
    stream.send(loud(1), seq=0, end=True)
    assert stream.send(loud(2), seq=0, end=True)
    assert stream.kinds() == ["started", "final", "ended"] * 2


# --- formats and options


@pytest.mark.parametrize(
    ("audio", "rate"), [(loud(1, 8_000), 8_000), (np.full((RATE, 2), 1000, np.int16), RATE)]
)
def test_another_format_starts_another_session(audio: Int16Array, rate: int):
    stream = OneStream()
    stream.send(loud(1))
    stream.send(audio, rate=rate, end=True)
    assert [utterance.seconds for utterance in stream.utterances] == [1.0, 1.0]
    assert stream.utterances[1].rate == rate
    assert ends(stream) == [StreamEndReason.FORMAT, StreamEndReason.END]


def test_an_end_without_audio_does_not_change_the_format():
    stream = OneStream()
    stream.send(loud(1, 8_000), rate=8_000)
    stream.send(quiet(0), end=True)
    assert ends(stream) == [StreamEndReason.END]


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_every_rate_keeps_its_own_time_axis(rate: int):
    stream = OneStream()
    stream.speak(np.concatenate([quiet(1, rate), loud(2, rate), quiet(1, rate)]), rate=rate)
    (utterance,) = stream.utterances
    assert utterance.rate == rate
    assert utterance.start / rate == pytest.approx(0.7, abs=0.033)
    assert utterance.speech_end / rate == pytest.approx(3, abs=0.033)
    assert utterance.end - utterance.speech_end == rate * 200 // 1000


def test_stereo_is_reported_in_the_start_event_and_mixed():
    stream = OneStream()
    stream.send(np.stack([loud(1), quiet(1)], axis=1), end=True)
    assert set(stream.utterances[0].samples.tolist()) == {500}
    started = stream.events()[0]
    assert isinstance(started, StreamStarted)
    assert (started.channels, started.rate) == (2, RATE)


def test_missing_options_have_defaults():
    asked = StreamOptions(languages=("zh", "en"), words=True)
    made = complete(asked, OPTIONS)
    assert made.languages == ("zh", "en")
    assert made.words is True
    assert (made.task, made.endpoint_ms) == (Task.TRANSCRIBE, 500)


def test_an_empty_list_of_languages_overrides_the_default():
    assert complete(StreamOptions(languages=()), OPTIONS).languages == ()


def test_the_first_record_decides_the_options():
    stream = OneStream()
    stream.send(loud(1), options=StreamOptions(languages=("zh",), prompt="hello"))
    stream.send(quiet(0), end=True, options=StreamOptions(languages=("de",)))
    assert stream.pending[0][0].options.languages == ("zh",)
    assert stream.pending[0][0].options.prompt == "hello"
    started = stream.events()[0]
    assert isinstance(started, StreamStarted)
    assert started.languages == ("zh",)


@pytest.mark.parametrize(("endpoint_ms", "utterances"), [(200, 2), (2_000, 1)])
def test_the_option_endpoint_ms_sets_the_endpoint(endpoint_ms: int, utterances: int):
    stream = OneStream()
    audio = np.concatenate([loud(1), quiet(1), loud(1)])
    stream.send(audio, options=StreamOptions(endpoint_ms=endpoint_ms), end=True)
    assert len(stream.utterances) == utterances


def test_an_invalid_option_has_one_warning():
    stream = OneStream()
    record = stream.log.append(AudioChunk("s", loud(1).tobytes(), rate=RATE, channels=1))
    stream.take(record._replace(headers=(*record.headers, ("words", b"maybe"))))
    stream.send(quiet(0), end=True)
    events = stream.events()
    assert [type(event) for event in events[:2]] == [StreamStarted, StreamWarning]
    assert [isinstance(event, StreamWarning) for event in events].count(True) == 1
    assert "words" in events[1].message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("asked", "languages", "applied"),
    [
        (("yue",), OPTIONS.languages, "the default applies"),
        (("yue-HK", "en", "zh-Hant"), ("en", "zh-Hant"), "en, zh-Hant applies"),
    ],
)
def test_a_language_that_the_model_lacks_has_a_warning(
    asked: tuple[str, ...], languages: tuple[str, ...], applied: str
):
    stream = OneStream()
    stream.send(loud(1), options=StreamOptions(languages=asked))
    stream.send(quiet(0), end=True)
    assert [pending.options.languages for pending, _ in stream.pending] == [languages]
    started, warning = stream.events()[:2]
    assert isinstance(started, StreamStarted)
    assert isinstance(warning, StreamWarning)
    assert started.languages == languages
    assert warning.message == f"language: this worker's model does not know {asked[0]}; {applied}"


def test_events_carry_the_trace_of_their_records():
    stream = OneStream()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    stream.send(loud(1), traceparent=trace, end=True)
    assert {event.traceparent for event in stream.events()} == {trace}


# --- any chunking and timing

MS = RATE // 1000
loudness = st.lists(
    st.tuples(st.booleans(), st.integers(10, 2_500)), min_size=1, max_size=8
)  # loud or not, ms


def published(
    audio: Int16Array,
    cuts_ms: Sequence[int] = (),
    lazy: Sequence[bool] = (False,),
    late_ms: Sequence[int] = (0,),
    **more: Any,
) -> OneStream:
    """Publish the audio in chunks cut at `cuts_ms`; score after each record that is not lazy."""
    stream = OneStream()
    edges = [0, *(ms * MS for ms in cuts_ms if 0 < ms * MS < len(audio)), len(audio)]
    for seq, (at, to) in enumerate(pairwise(edges)):
        chunk = AudioChunk(
            "s",
            audio[at:to].tobytes(),
            rate=RATE,
            channels=1,
            seq=seq,
            start=at,
            captured_ms=1_700_000_000_000 + at // MS + late_ms[seq % len(late_ms)],
            end=to == len(audio),
            **more,
        )
        stream.push(stream.log.append(chunk))
        if not lazy[seq % len(lazy)]:
            stream.score()
    stream.score()
    return stream


cuts = st.lists(st.integers(1, 10_000), unique=True, max_size=40).map(sorted)
laziness = st.lists(st.booleans(), min_size=1, max_size=5)
endpoints = st.sampled_from([200, 500, 2_000])


@given(runs=loudness, cuts_ms=cuts, lazy=laziness, endpoint_ms=endpoints)
@settings(max_examples=60, deadline=None)
def test_any_chunking_gives_the_same_utterances_and_events(
    runs: list[tuple[bool, int]], cuts_ms: list[int], lazy: list[bool], endpoint_ms: int
):
    audio, options = audio_of(runs), StreamOptions(endpoint_ms=endpoint_ms)
    whole = published(audio, options=options)
    parts = published(audio, cuts_ms, lazy, options=options)
    for one, other in zip(whole.utterances, parts.utterances, strict=True):
        assert (one.start, one.end, one.speech_end) == (other.start, other.end, other.speech_end)
        assert one.end_reason is other.end_reason
        assert astuple(one.speech) == astuple(other.speech)
        np.testing.assert_array_equal(one.samples, other.samples)
    one_events, other_events = whole.events(), parts.events()
    assert list(map(without_offsets, one_events)) == list(map(without_offsets, other_events))


@given(
    runs=loudness,
    cuts_ms=cuts,
    lazy=laziness,
    endpoint_ms=endpoints,
    late_ms=st.lists(st.integers(0, 900), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_events_do_not_depend_on_when_audio_is_scored(
    runs: list[tuple[bool, int]],
    cuts_ms: list[int],
    lazy: list[bool],
    endpoint_ms: int,
    late_ms: list[int],
):
    audio, options = audio_of(runs), StreamOptions(endpoint_ms=endpoint_ms)
    at_once = published(audio, cuts_ms, late_ms=late_ms, options=options)
    late = published(audio, cuts_ms, lazy, late_ms, options=options)
    assert at_once.events() == late.events()


def test_the_time_of_an_utterance_does_not_depend_on_the_record_after_it():
    def ended_ms(*, lazy: bool) -> int:
        audio, options = np.concatenate([loud(0.3), quiet(0.244)]), StreamOptions(endpoint_ms=200)
        stream = published(audio, [512], [lazy], [0, 700], options=options)
        return stream.events()[1].time_ms

    assert ended_ms(lazy=False) == ended_ms(lazy=True) == 1_700_000_000_512


@given(runs=loudness, step=st.integers(10, 3_000))
@settings(max_examples=60, deadline=None)
def test_all_speech_is_in_utterances_with_the_samples_of_the_audio(
    runs: list[tuple[bool, int]], step: int
):
    audio = audio_of(runs)
    utterances = published(audio, range(step, len(audio) // MS, step)).utterances
    covered = np.zeros(len(audio), bool)
    for utterance in utterances:
        assert not covered[utterance.start : utterance.end].any()
        covered[utterance.start : utterance.end] = True
        np.testing.assert_array_equal(utterance.samples, audio[utterance.start : utterance.end])
    for start, end in loud_stretches(audio):
        if end - start >= (250 + 32) * MS:  # so that 250 ms of whole windows are in it
            assert covered[start:end].all()
    assert [utterance.number for utterance in utterances] == list(range(len(utterances)))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=8))
def test_the_extent_of_an_open_utterance_is_that_of_its_audio(runs: list[tuple[bool, int]]):
    stream = OneStream()
    audio = audio_of([(is_loud, 100 * length) for is_loud, length in runs] or [(False, 100)])
    for start in range(0, len(audio), RATE // 10):
        stream.send(audio[start : start + RATE // 10])
        opened = stream.stream.open_utterance()
        if opened is None:
            with pytest.raises(ValueError, match="no utterance is open"):
                stream.stream.interim()
        else:
            interim = stream.stream.interim()
            assert interim.opened == opened
            assert len(interim.utterance.samples) == opened.end - opened.start
