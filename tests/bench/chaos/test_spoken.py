from __future__ import annotations

import numpy as np
import pytest

from bench.chaos import spoken as takes
from bench.chaos.spans import Span, without
from bench.recordings import recordings
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


def spoken(scorer: SpeechScorer, sound: Int16Array, *stretches: Span) -> list[Span]:
    return takes.spoken(scorer, [("take", sound, stretches)])["take"]


@pytest.fixture(scope="module")
def scorer() -> SpeechScorer:
    return cascade.load(Detector.CASCADE)


def test_speech_is_found_where_it_is(scorer: SpeechScorer) -> None:
    found = spoken(scorer, SOUND, (0, len(SOUND)))
    assert without(found, [(a - RATE // 5, b + RATE // 5) for a, b in WORDS]) == []
    missed = without(WORDS, found)
    assert sum(end - start for start, end in missed) < 0.25 * sum(b - a for a, b in WORDS)


def test_nothing_is_spoken_where_there_is_no_sound(scorer: SpeechScorer) -> None:
    (first, _), (second, _) = WORDS
    found = spoken(scorer, SOUND, (0, first + RATE), (second, len(SOUND)))
    assert found
    assert without(found, [(first, first + RATE), (second, len(SOUND))]) == []


def test_silence_is_not_spoken(scorer: SpeechScorer) -> None:
    assert spoken(scorer, np.zeros(25 * RATE, np.int16), (0, 25 * RATE)) == []


def test_takes_do_not_hear_one_another(scorer: SpeechScorer) -> None:
    sounds = [SOUND[shift * 997 :][: 4 * RATE] for shift in range(26)]
    together = takes.spoken(scorer, [(n, s, [(0, len(s))]) for n, s in enumerate(sounds)])
    for number in (0, 25):
        assert together[number] == spoken(scorer, sounds[number], (0, len(sounds[number])))
