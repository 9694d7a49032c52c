"""Restarts, repeats and second publishers: what has other bytes is no repeat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from budget import examples
from builders import RATE, Log, loud, quiet
from hypothesis import given
from hypothesis import strategies as st
from partition_harness import crash_seeds, run_with_crashes
from stream_harness import OneStream

from consumer.core.audio.utterance import Int16Array
from consumer.core.scheduling.jobs import Job
from consumer.core.streams.repeats import RECENT
from consumer.core.text.hypothesis import Hypothesis
from consumer.testing import MemoryStore, echo
from schemas.audio import AudioChunk
from schemas.errors import Reason, WireError
from schemas.transcript import StreamEnded, StreamEndReason, StreamWarning, TranscriptFinal

STEP = RATE // 10
START_MS = 1_700_000_000_000


def send(stream: OneStream, *levels: int, first: int = 0, **more: object) -> list[bool]:
    """Send a record of 0.1 s for each level (0: silence), numbered from `first`."""
    return [
        stream.send(np.full(STEP, level, np.int16), seq=first + n, **more)
        for n, level in enumerate(levels)
    ]


def ends(stream: OneStream) -> list[StreamEndReason]:
    return [event.reason for event in stream.events() if isinstance(event, StreamEnded)]


# --- without a run


@pytest.mark.parametrize("is_ended", [True, False])
def test_a_recording_after_one_with_the_same_silence_first_is_a_session(is_ended: bool):
    stream = OneStream()
    send(stream, *[0] * 50, *[1000] * 10)
    if is_ended:
        stream.send(quiet(0), seq=60, end=True)
    assert send(stream, *[0] * 50) == [False] * 50
    assert send(stream, *[2000] * 10, first=50) == [True] * 10
    stream.send(quiet(0), seq=60, end=True)
    assert [int(utterance.samples.max()) for utterance in stream.utterances] == [1000, 2000]
    expected = StreamEndReason.END if is_ended else StreamEndReason.RESTART
    assert ends(stream) == [expected, StreamEndReason.END]


def test_a_repeat_is_dropped_also_within_a_new_session():
    stream = OneStream()
    send(stream, 1000, 2000, 3000)
    send(stream, 4000, 5000)  # a restart
    assert send(stream, 3000, first=2) == [True]  # no longer below: the next of the new session
    assert send(stream, 5000, first=1) == [False]


def test_a_restart_has_a_warning():
    stream = OneStream()
    send(stream, 1000, 2000)
    send(stream, 3000, 4000)
    (warning,) = [event for event in stream.events() if isinstance(event, StreamWarning)]
    assert warning.message.startswith("restart: ")


def test_a_record_below_those_remembered_is_a_restart():
    stream = OneStream()
    for n in range(RECENT + 20):
        stream.send(quiet(0.1), seq=n, captured_ms=START_MS + n)
    again = {"seq": RECENT + 5, "captured_ms": START_MS + RECENT + 5}
    assert stream.send(quiet(0.1), **again) is False
    assert stream.send(quiet(0.1), seq=5, captured_ms=START_MS + 5)
    assert ends(stream) == [StreamEndReason.RESTART]


def test_a_record_after_its_number_was_given_up_is_a_dead_letter_and_the_utterance_goes_on():
    stream = OneStream()
    send(stream, *[1000] * 3)
    send(stream, *[1000] * 8, first=4)
    gaps = len(stream.utterances)
    with pytest.raises(WireError) as raised:
        send(stream, 1000, first=3)
    assert raised.value.reason is Reason.LATE
    assert len(stream.utterances) == gaps


def test_a_second_publisher_has_dead_letters_and_one_warning():
    stream = OneStream()
    send(stream, 1000)
    send(stream, 2000)  # begins a session, as a restart would
    for n in range(1, 20):
        send(stream, 1000, first=n)
        with pytest.raises(WireError) as raised:
            send(stream, 2000, first=n)
        assert raised.value.reason is Reason.SECOND_PUBLISHER
    stream.send(quiet(0), seq=20, end=True)
    warnings = [event for event in stream.events() if isinstance(event, StreamWarning)]
    assert [warning.message.partition(":")[0] for warning in warnings] == [
        "restart",
        "second publisher",
    ]


def test_the_utterance_of_the_first_publisher_is_not_torn():
    stream = OneStream()
    send(stream, 3000)
    for n in range(1, 20):
        send(stream, 1000, first=n)
        with pytest.raises(WireError):
            send(stream, 2000, first=n)
    stream.send(quiet(0), seq=20, end=True)
    (utterance,) = stream.utterances
    assert len(utterance.samples) == 20 * STEP


def test_a_position_that_jumps_back_to_the_beginning_is_a_restart():
    stream = OneStream()
    for n in range(20):
        stream.send(loud(0.1), start=n * STEP)
    for n in range(20):
        assert stream.send(np.full(STEP, 2000, np.int16), start=n * STEP)
    assert ends(stream) == [StreamEndReason.RESTART]


def test_a_repeated_position_is_dropped_and_another_one_in_the_middle_rejected():
    stream = OneStream()
    for n in range(20):
        stream.send(np.full(STEP, n + 1, np.int16), start=n * STEP)
    assert stream.send(np.full(STEP, 8, np.int16), start=7 * STEP) is False
    with pytest.raises(WireError) as raised:
        stream.send(loud(0.1), start=7 * STEP)
    assert raised.value.reason is Reason.SECOND_PUBLISHER


def test_a_hint_is_one_warning_of_a_session():
    stream = OneStream()
    floats = np.full(STEP, 0.1, "<f4").view(np.int16)
    for seq in range(5):
        stream.send(floats, seq=seq)
    (warning,) = [event for event in stream.events() if isinstance(event, StreamWarning)]
    assert warning.message.startswith("format: ")


def test_a_problem_with_a_header_is_one_warning_of_a_session():
    stream = OneStream()
    sent = [AudioChunk("s", loud(0.1).tobytes(), seq=seq) for seq in range(6)]
    wrong = [("captured_ms", b"now"), ("sample_rate", b"16000")]
    for record, more in zip(map(stream.log.append, sent), [[], *[wrong] * 5], strict=True):
        stream.take(record._replace(headers=(*record.headers, *more)))
    warnings = [event for event in stream.events() if isinstance(event, StreamWarning)]
    assert [warning.message.partition(":")[0] for warning in warnings] == [
        "sample_rate",
        "captured_ms",
    ]


def test_a_wrong_option_of_a_later_record_has_no_warning():
    stream = OneStream()
    sent = [AudioChunk("s", loud(0.1).tobytes(), seq=seq) for seq in range(3)]
    for record, words in zip(map(stream.log.append, sent), [b"1", b"maybe", b"maybe"], strict=True):
        stream.take(record._replace(headers=(*record.headers, ("words", words))))
    assert not [event for event in stream.events() if isinstance(event, StreamWarning)]


# --- with a run


def test_another_run_is_a_session_without_a_warning():
    stream = OneStream()
    send(stream, 0, 0, 1000, run="a")
    assert send(stream, 0, 0, 1000, run="b") == [True] * 3
    assert not [event for event in stream.events() if isinstance(event, StreamWarning)]


def test_within_a_run_a_lower_number_is_a_repeat_however_old():
    stream = OneStream()
    for n in range(RECENT + 20):
        send(stream, n, first=n, run="a")
    assert send(stream, 5, first=5, run="a") == [False]


def test_a_run_that_was_left_by_a_restart_is_a_second_publisher():
    stream = OneStream()
    send(stream, 1000, 1000, run="a")
    send(stream, 2000, run="b")
    with pytest.raises(WireError) as raised:
        send(stream, 3000, first=2, run="a")
    assert raised.value.reason is Reason.SECOND_PUBLISHER
    assert send(stream, 1000, first=1, run="a") == [False]  # a repeat of what was read
    send(stream, 2000, first=1, run="b")
    stream.send(quiet(0), seq=2, run="b", end=True)
    assert send(stream, 3000, first=2, run="a") == [True]


# --- any sequence, with crashes


@dataclass(frozen=True)
class Recording:
    """Audio that one run of a publisher sends under the stream id."""

    silence: int  # leading records of silence
    speech: int  # records of speech, each with a level of its own
    ends: bool
    repeats: tuple[int, ...]  # after how many records the last ones are sent again
    states_run: bool


RECORDINGS = st.lists(
    st.builds(
        Recording,
        silence=st.integers(0, 6),
        speech=st.integers(4, 12),
        ends=st.booleans(),
        repeats=st.lists(st.integers(1, 15), max_size=3).map(tuple),
        states_run=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def publish(recordings: list[Recording]) -> tuple[Log, set[int]]:
    """Return the log, and the levels of all records of speech."""
    log, levels = Log(), set[int]()
    for run, recording in enumerate(recordings):
        chunks = [np.zeros(STEP, np.int16)] * recording.silence
        for _ in range(recording.speech):
            levels.add(len(levels) + 1)
            chunks.append(np.full(STEP, len(levels), np.int16))
        sent = [_chunk(recording, run, seq, audio, chunks) for seq, audio in enumerate(chunks)]
        for at, chunk in enumerate(sent, 1):
            log.append(chunk)
            for again in sent[max(0, at - 4) : at] if at in recording.repeats else ():
                log.append(again)
    return log, levels


def _chunk(
    recording: Recording, run: int, seq: int, audio: Int16Array, chunks: list[Int16Array]
) -> AudioChunk:
    return AudioChunk(
        "s",
        audio.tobytes(),
        rate=RATE,
        channels=1,
        seq=seq,
        end=recording.ends and seq == len(chunks) - 1,
        run=f"r{run}" if recording.states_run else None,
    )


def with_levels(job: Job) -> Hypothesis:
    """Return a text that names each record of the utterance by its level."""
    levels = job.utterance.samples[:: STEP // 2]
    text = " ".join(map(str, dict.fromkeys(levels[levels > 0].tolist())))
    return replace(echo(job.utterance.samples), text=text)


def published(store: MemoryStore) -> Counter[int]:
    texts = [event.text for event in store.events if isinstance(event, TranscriptFinal)]
    return Counter(int(word) for text in texts for word in text.split())


@examples(150)
@given(recordings=RECORDINGS, crashes=crash_seeds)
def test_no_record_is_lost_or_repeated(recordings: list[Recording], crashes: list[int]):
    log, levels = publish(recordings)
    store = run_with_crashes(log.records, crashes, write=with_levels)
    assert store.dead_letters == []
    assert published(store) == Counter(dict.fromkeys(levels, 1))
