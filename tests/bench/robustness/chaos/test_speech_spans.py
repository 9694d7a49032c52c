from __future__ import annotations

import numpy as np
import pytest

from bench.quality.recordings import recordings
from bench.robustness.chaos import speech_spans as module
from bench.robustness.chaos.spans import Span, without
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import Int16Array
from consumer.detection import cascade
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector
from evaluation.samples import SAMPLES

RATE = 16_000
SPEECH = from_float(recordings(SAMPLES)[1].samples)  # 8.1 s without a long pause
SILENCE = np.zeros(2 * RATE, np.int16)
SOUND = np.concatenate((SILENCE, SPEECH, SILENCE, SPEECH, SILENCE))
WORDS = [(len(SILENCE), len(SILENCE) + len(SPEECH))]
WORDS.append((len(SOUND) - len(SILENCE) - len(SPEECH), len(SOUND) - len(SILENCE)))


def spans_of(scorer: SpeechScorer, sound: Int16Array, *stretches: Span) -> list[Span]:
    return module.speech_spans(scorer, [("stream", sound, stretches)])["stream"]


@pytest.fixture(scope="module")
def scorer() -> SpeechScorer:
    return cascade.load(Detector.CASCADE)


def test_speech_is_found_where_it_is(scorer: SpeechScorer) -> None:
    found = spans_of(scorer, SOUND, (0, len(SOUND)))
    assert without(found, [(a - RATE // 5, b + RATE // 5) for a, b in WORDS]) == []
    missed = without(WORDS, found)
    assert sum(end - start for start, end in missed) < 0.25 * sum(b - a for a, b in WORDS)


def test_no_speech_is_found_outside_the_stretches(scorer: SpeechScorer) -> None:
    (first, _), (second, _) = WORDS
    found = spans_of(scorer, SOUND, (0, first + RATE), (second, len(SOUND)))
    assert found
    assert without(found, [(first, first + RATE), (second, len(SOUND))]) == []


def test_silence_is_no_speech(scorer: SpeechScorer) -> None:
    assert spans_of(scorer, np.zeros(25 * RATE, np.int16), (0, 25 * RATE)) == []


def test_streams_that_are_scored_together_do_not_affect_each_other(scorer: SpeechScorer) -> None:
    sounds = [SOUND[shift * 997 :][: 4 * RATE] for shift in range(26)]
    together = module.speech_spans(scorer, [(n, s, [(0, len(s))]) for n, s in enumerate(sounds)])
    for number in (0, 25):
        assert together[number] == spans_of(scorer, sounds[number], (0, len(sounds[number])))
