"""Each layer by itself; thresholds from both sides. Real audio is measured in docs/quality.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from consumer.core.audio.loudness import Loudness
from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import EndReason, Int16Array, Speech, Utterance
from consumer.core.text.hallucination import (
    REVIEWING,
    SUPPRESSING,
    TextEvidence,
    words_without_speech,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from schemas.transcript import QualityReason

RATE = 16_000
HEARD = Speech(ratio=0.8, peak=1.0, mean=0.7)
FAINT = Speech(ratio=0.3, peak=0.6, mean=0.2)
SAID = Hypothesis(
    text="we have said something here",
    language="en",
    language_probability=None,
    tokens=(),
    avg_logprob=-0.2,
    no_speech_prob=0.05,
    compression_ratio=1.2,
)


def utterance(samples: Int16Array, speech: Speech = HEARD) -> Utterance:
    return Utterance(
        number=0,
        start=0,
        end=len(samples),
        speech_end=len(samples),
        rate=RATE,
        samples=samples,
        end_reason=EndReason.SILENCE,
        speech=speech,
    )


SECOND = utterance(np.zeros(RATE, np.int16))


def found(
    layers: Any = SUPPRESSING, speech: Speech = HEARD, prompt: str | None = None, **changes: Any
) -> list[QualityReason]:
    evidence = TextEvidence.of(replace(SAID, **changes), replace(SECOND, speech=speech), prompt)
    return [doubt for doubt, speaks in layers if speaks(evidence)]


def test_nothing_speaks_against_speech():
    assert found() == found(REVIEWING) == []


@pytest.mark.parametrize(
    ("avg_logprob", "no_speech_prob", "against"),
    [
        (-1.0, 0.61, [QualityReason.NO_SPEECH]),
        (-1.0, 0.59, []),
        (-0.3, 0.96, [QualityReason.NO_SPEECH]),
        (-0.3, 0.94, []),
        (-2.0, 0.11, [QualityReason.NO_SPEECH]),
        (-2.0, 0.09, []),
    ],
)
def test_no_speech_is_a_line_through_whispers_corner(
    avg_logprob: float, no_speech_prob: float, against: list[QualityReason]
):
    assert found(avg_logprob=avg_logprob, no_speech_prob=no_speech_prob) == against


def test_a_faint_detection_counts_where_the_text_is_not_sure():
    assert found(speech=FAINT, avg_logprob=-0.51) == [QualityReason.WEAK_DETECTION]
    assert found(speech=FAINT, avg_logprob=-0.49) == []


def test_long_pauses_are_no_faint_detection():
    paused = Speech(ratio=0.6, peak=1.0, mean=0.2)  # 0.6 s of speech
    assert found(speech=paused, avg_logprob=-0.51) == []


def test_a_few_words_that_the_model_does_not_believe_are_a_guess():
    assert found(text="oh", avg_logprob=-1.11) == [QualityReason.GUESS]
    assert found(text="你好吗", avg_logprob=-1.11) == [QualityReason.GUESS]
    assert found(text="你好吗呀", avg_logprob=-1.11) == []
    assert found(text="oh", avg_logprob=-1.09) == []


@pytest.mark.parametrize("text", ["", "…", "。"])
def test_punctuation_is_no_text(text: str):
    assert QualityReason.NO_WORDS in found(text=text)


@pytest.mark.parametrize(
    ("text", "prompt", "doubt"),
    [
        ("Thanks for watching!", None, QualityReason.SILENCE_PHRASE),
        ("请不吝点赞 订阅", None, QualityReason.SILENCE_PHRASE),
        ("calls about refunds", "Customer calls about refunds.", QualityReason.PROMPT_ECHO),
        ("啊啊啊啊", None, QualityReason.REPETITION),
    ],
)
def test_what_a_text_says_against_itself_needs_weak_evidence(
    text: str, prompt: str | None, doubt: QualityReason
):
    assert found(text=text, prompt=prompt) == []
    for weak in ({"no_speech_prob": 0.41}, {"avg_logprob": -0.71}, {"speech": FAINT}):
        assert doubt in found(text=text, prompt=prompt, **weak)


def test_a_text_that_ends_in_a_loop_is_not_suppressed():
    text = "he said no no no no no no no no"
    assert found(text=text, avg_logprob=-0.8) == []
    assert found(REVIEWING, text=text, speech=replace(HEARD, ratio=1.0)) == [
        QualityReason.REPETITION
    ]


@pytest.mark.parametrize(
    ("changes", "doubt"),
    [
        ({"compression_ratio": 2.41}, QualityReason.REPETITION),
        ({"avg_logprob": -1.01}, QualityReason.LOW_LOGPROB),
        ({"text": "one two three four five six seven eight nine"}, QualityReason.TOO_FAST),
    ],
)
def test_doubts_call_for_a_look(changes: dict[str, Any], doubt: QualityReason):
    assert found(REVIEWING, **changes) == [doubt]


def test_as_many_words_as_can_be_spoken_are_not_too_fast():
    assert found(REVIEWING, text="one two three four five six seven eight") == []  # in 0.8 s


def word(start_s: float, end_s: float) -> TimedWord:
    return TimedWord(" word", start_s, end_s, 0.9)


def test_a_word_far_from_any_speech_is_unspoken():
    speech = Speech(0.5, 1.0, 0.5, probabilities=(0.9,) * 50 + (0.1,) * 50, window_ms=20)
    heard = utterance(np.zeros(2 * RATE, np.int16), speech)
    words = (word(0.5, 1.0), word(1.1, 1.4), word(1.21, 1.5), word(2.0, 2.0), word(2.5, 2.6))
    silence = Loudness.of(heard.samples, RATE)
    assert words_without_speech(words, heard, silence) == [
        words[2],
        words[3],
    ]  # of the last nothing is known


def test_in_clear_audio_a_word_is_louder_than_the_noise():
    rng = np.random.default_rng(1)
    level = np.where(np.arange(2 * RATE) < RATE, 0.1, 0.001)
    clear = utterance(from_float((level * rng.standard_normal(2 * RATE)).astype(np.float32)))
    loudness = Loudness.of(clear.samples, RATE)
    words = (word(0.2, 0.5), word(1.1, 1.4), word(1.5, 1.8))
    assert words_without_speech(words, clear, loudness) == [words[2]]


def test_in_noise_nothing_is_known_of_a_quiet_word():
    rng = np.random.default_rng(1)
    noise = utterance(from_float((0.1 * rng.standard_normal(RATE)).astype(np.float32)))
    assert words_without_speech((word(0.2, 0.5),), noise, Loudness.of(noise.samples, RATE)) == []
