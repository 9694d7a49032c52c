from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from engine_server import job
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.scheduling.jobs import Job, JobFailure, JobKind
from consumer.core.streams.language import IdentifiedLanguage, LanguageHold
from consumer.core.text.hypothesis import Hypothesis, TimedHypothesis, TimedWord
from consumer.engine import protocol
from consumer.engine.protocol import Failed, ProtocolError, Submit, Transcribed
from consumer.engine.shared_audio import AudioBlock
from schemas.audio import StreamOptions, Task

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.floats(allow_nan=False)
WORDS = st.builds(TimedWord, TEXTS, NUMBERS, NUMBERS, NUMBERS)
FLAT = st.builds(
    Hypothesis,
    text=TEXTS,
    language=TEXTS,
    language_probability=st.none() | NUMBERS,
    tokens=st.lists(st.integers(0, 60_000)).map(tuple),
    avg_logprob=NUMBERS,
    no_speech_prob=NUMBERS,
    compression_ratio=NUMBERS,
    folded=st.booleans(),
    words=st.none() | st.lists(WORDS, max_size=4).map(tuple),
    identified=st.none() | st.builds(IdentifiedLanguage, TEXTS, NUMBERS, NUMBERS),
    ended=st.booleans(),
)
HYPOTHESES = st.builds(
    lambda last, earlier: replace(last, earlier=earlier), FLAT, st.lists(FLAT).map(tuple)
)
OPTIONS = st.builds(
    StreamOptions,
    languages=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    prompt=st.none() | TEXTS,
    hotwords=st.none() | TEXTS,
    task=st.none() | st.sampled_from(Task),
    words=st.none() | st.booleans(),
)
JOBS = st.builds(
    lambda options, earlier, kind, held, number: replace(
        job(number=number, kind=kind), options=options, earlier=earlier, language=held
    ),
    OPTIONS,
    st.lists(HYPOTHESES, max_size=2).map(tuple),
    st.sampled_from(JobKind),
    st.builds(LanguageHold, st.none() | TEXTS, st.none() | TEXTS),
    st.integers(0, 1 << 40),
)


def payload(frame: bytes) -> bytes:
    """Return the payload of one frame, as a connection reads it."""

    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(frame)
        reader.feed_eof()
        read = await protocol.read_payload(reader)
        assert reader.at_eof()
        return read

    return asyncio.run(read())


def essence(sent: Job) -> bytes:
    """Return all of a job but its samples, in bytes that can be compared."""
    utterance = replace(sent.utterance, samples=np.zeros(0, np.int16))
    return protocol.frame(Submit(0, replace(sent, utterance=utterance), AudioBlock(0, 0)))


@given(JOBS)
def test_a_job_arrives_as_it_was_sent(sent: Job) -> None:
    frame = protocol.frame(protocol.submitted(7, sent, AudioBlock(64, len(sent.utterance.samples))))
    message = protocol.worker_message(payload(frame))
    assert isinstance(message, Submit)
    assert (message.number, message.audio) == (7, AudioBlock(64, 1600))
    assert isinstance(message.job.id.session.partition.topic, str)
    received = protocol.with_samples(message.job, sent.utterance.samples)
    assert received.utterance.samples is sent.utterance.samples
    assert essence(received) == essence(sent)
    assert (received.id, received.kind, received.options) == (sent.id, sent.kind, sent.options)
    assert received.earlier == sent.earlier


@given(HYPOTHESES)
def test_a_text_arrives_as_it_was_sent(text: Hypothesis) -> None:
    sent = TimedHypothesis(text, 1, 2, 3)
    message = protocol.engine_message(payload(protocol.frame(Transcribed(7, sent))))
    assert isinstance(message, Transcribed)
    assert message.text.hypothesis == text
    assert (message.text.queue_ms, message.text.decode_ms, message.text.done_ms) == (1, 2, 3)


def test_a_failure_arrives_as_it_was_sent() -> None:
    sent = Failed(3, JobFailure("ValueError"))
    assert protocol.engine_message(payload(protocol.frame(sent))) == sent


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_protocol_error_or_a_message(garbage: bytes) -> None:
    for decode in (protocol.worker_message, protocol.engine_message):
        with suppress(ProtocolError):
            assert isinstance(decode(garbage), msgspec.Struct)


def test_a_text_beyond_the_limit_of_a_frame_is_an_error() -> None:
    long = replace(job(), options=StreamOptions(prompt="x" * protocol.MAX_FRAME))
    with pytest.raises(ProtocolError, match="bytes"):
        protocol.frame(protocol.submitted(1, long, AudioBlock(0, 0)))
