"""Publishers that copy RTP's numbers into `seq` and `start`, which begin at 0 again."""

from __future__ import annotations

import random

import numpy as np
import pytest
from budget import examples
from builders import RATE
from hypothesis import given
from hypothesis import strategies as st
from stream_harness import OneStream, spans

from schemas.transcript import StreamEnded, StreamEndReason, StreamGap

STEP = RATE // 10
LAST_SEQ, LAST_START = (1 << 16) - 1, (1 << 32) - 1


def send(
    stream: OneStream, n: int, first_seq: int = 0, first_start: int | None = None, **more: object
) -> bool:
    """Send record `n` of a publisher as RTP numbers it."""
    start = None if first_start is None else (first_start + n * STEP) & LAST_START
    audio = np.full(STEP, n + 1, np.int16)
    return stream.send(audio, seq=(first_seq + n) & LAST_SEQ, start=start, **more)


def levels(stream: OneStream) -> list[int]:
    """Return the records of the only utterance, by their samples."""
    (utterance,) = stream.utterances
    return [int(level) - 1 for level in utterance.samples[:: STEP // 2][::2]]


@pytest.mark.parametrize("first_start", [None, LAST_START - 20 * STEP])
def test_the_utterance_goes_on_where_the_numbers_begin_again(first_start: int | None):
    stream = OneStream()
    for n in range(40):
        assert send(stream, n, LAST_SEQ - 20, first_start, end=n == 39)
    assert levels(stream) == list(range(40))
    ends = [event.reason for event in stream.events() if isinstance(event, StreamEnded)]
    assert ends == [StreamEndReason.END]


def test_positions_alone_wrap_as_well():
    stream, first = OneStream(), LAST_START - 20 * STEP
    for n in range(40):
        stream.send(np.full(STEP, n + 1, np.int16), start=(first + n * STEP) & LAST_START)
    stream.send(np.zeros(0, np.int16), end=True)
    assert spans(stream) == [(first, first + 40 * STEP)]


def test_a_repeat_of_before_is_dropped_after_it():
    stream = OneStream()
    for n in range(30):
        send(stream, n, LAST_SEQ - 20)
    assert send(stream, 15, LAST_SEQ - 20) is False
    assert send(stream, 25, LAST_SEQ - 20) is False


def test_records_missing_where_the_numbers_begin_again_are_a_gap():
    stream = OneStream()
    for n in [*range(20), *range(24, 60)]:
        send(stream, n, LAST_SEQ - 20)
    (gap,) = [event for event in stream.events() if isinstance(event, StreamGap)]
    assert (gap.start_sample, gap.end_sample) == (20 * STEP, 24 * STEP)


def test_numbers_that_begin_anew_elsewhere_are_a_restart():
    stream = OneStream()
    for n in range(10):
        send(stream, n, LAST_SEQ - 1_000)
    for n in range(10):
        stream.send(np.full(STEP, 100 + n, np.int16), seq=n)
    stream.send(np.zeros(0, np.int16), seq=10, end=True)
    ends = [event.reason for event in stream.events() if isinstance(event, StreamEnded)]
    assert ends == [StreamEndReason.RESTART, StreamEndReason.END]


def test_a_session_after_one_that_wrapped_has_its_numbers_as_stated():
    stream = OneStream()
    for n in range(30):
        send(stream, n, LAST_SEQ - 20, run="a")
    for n in range(30):
        assert send(stream, n, 100, run="b", end=n == 29)
    assert stream.stream.state().order.first_seq == 100
    assert spans(stream)[-1] == (0, 30 * STEP)


@examples(100)
@given(
    first_seq=st.integers(LAST_SEQ - 60, LAST_SEQ),
    first_start=st.none() | st.integers(LAST_START - 60 * STEP, LAST_START),
    seed=st.integers(0, 1 << 16),
)
def test_records_out_of_order_and_repeated_are_read_once(
    first_seq: int, first_start: int | None, seed: int
):
    chance, stream = random.Random(seed), OneStream()
    order = sorted(range(90), key=lambda n: n and n + chance.uniform(0, 4))
    for index, n in enumerate(order):
        send(stream, n, first_seq, first_start)
        if chance.random() < 0.2:
            assert send(stream, order[max(0, index - 5)], first_seq, first_start) is False
    stream.send(np.zeros(0, np.int16), end=True)
    assert levels(stream) == list(range(90))
