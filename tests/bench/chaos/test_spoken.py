from __future__ import annotations

import numpy as np
import pytest

from bench.chaos.spans import without
from bench.chaos.spoken import spoken
from bench.recordings import recordings
from consumer.core.pcm import from_float
from consumer.inference import vad
from consumer.inference.vad import SpeechScorer
from consumer.settings import Detector
from devstack.demo_samples import SAMPLES

RATE = 16_000
SPEECH = from_float(recordings(SAMPLES)[1].samples)  # 8.1 s without a long pause
SILENCE = np.zeros(2 * RATE, np.int16)
SOUND = np.concatenate((SILENCE, SPEECH, SILENCE, SPEECH, SILENCE))
WORDS = [(len(SILENCE), len(SILENCE) + len(SPEECH))]
WORDS.append((len(SOUND) - len(SILENCE) - len(SPEECH), len(SOUND) - len(SILENCE)))


@pytest.fixture(scope="module")
def scorer() -> SpeechScorer:
    return vad.load(Detector.CASCADE)


def test_speech_is_found_where_it_is(scorer: SpeechScorer) -> None:
    found = spoken(scorer, SOUND, [(0, len(SOUND))])
    assert without(found, [(a - RATE // 5, b + RATE // 5) for a, b in WORDS]) == []
    missed = without(WORDS, found)
    assert sum(end - start for start, end in missed) < 0.25 * sum(b - a for a, b in WORDS)


def test_nothing_is_spoken_where_there_is_no_sound(scorer: SpeechScorer) -> None:
    (first, _), (second, _) = WORDS
    found = spoken(scorer, SOUND, [(0, first + RATE), (second, len(SOUND))])
    assert found
    assert without(found, [(first, first + RATE), (second, len(SOUND))]) == []


def test_silence_is_not_spoken(scorer: SpeechScorer) -> None:
    assert spoken(scorer, np.zeros(25 * RATE, np.int16), [(0, 25 * RATE)]) == []
