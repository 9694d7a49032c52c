from __future__ import annotations

import numpy as np

from bench.scale.stub_engine import ServiceTimes, StubTranscriber
from consumer.core.audio.utterance import WHISPER_RATE, Speech
from consumer.core.scheduling.jobs import DecodeRequest


def clip(seconds: float, *probabilities: float, words: bool = True) -> DecodeRequest:
    speech = Speech(1.0, 1.0, 1.0, probabilities, window_ms=1000)
    samples = np.zeros(round(seconds * WHISPER_RATE), np.int16)
    return DecodeRequest(samples, speech=speech, words=words)


def test_a_batch_takes_its_time_and_that_of_its_rows():
    slept: list[float] = []
    stub = StubTranscriber("one two three", ServiceTimes(0.02, 0.001), slept.append)
    assert len(stub.transcribe([clip(1.0)] * 5)) == 5
    assert slept == [0.02 + 5 * 0.001]


def test_the_words_are_recorded_ones_at_the_times_of_the_speech():
    stub = StubTranscriber("one two three", ServiceTimes(0.0, 0.0), lambda _: None)
    (found,) = stub.transcribe([clip(4.0, 0.9, 0.1, 0.1, 0.9)])
    assert found.words is not None
    assert {word.text for word in found.words} == {" one", " two", " three"}
    assert {word.end_s for word in found.words} <= {0.0, 1.0, 4.0}
    assert found.text == "".join(word.text for word in found.words).strip()


def test_no_two_texts_in_a_row_are_alike_and_words_are_given_where_they_are_asked_for():
    stub = StubTranscriber("one two three", ServiceTimes(0.0, 0.0), lambda _: None)
    first, second = stub.transcribe([clip(2.0), clip(2.0, words=False)])
    assert first.text != second.text
    assert second.words is None
