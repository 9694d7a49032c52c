"""Each rule on its own, on both sides of its threshold; docs/quality.md has real audio."""

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
    Given,
    TextEvidence,
    words_without_speech,
)
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from schemas.transcript import QualityReason

RATE = 16_000
CLEAR = Speech(ratio=0.8, peak=1.0, mean=0.7)
FAINT = Speech(ratio=0.3, peak=0.6, mean=0.2)
HYPOTHESIS = Hypothesis(
    text="we have done something here",
    language="en",
    language_probability=None,
    tokens=(),
    avg_logprob=-0.2,
    no_speech_prob=0.05,
    compression_ratio=1.2,
)


def utterance(samples: Int16Array, speech: Speech = CLEAR) -> Utterance:
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


def reasons_for(
    rules: Any = SUPPRESSING,
    speech: Speech = CLEAR,
    prompt: str | None = None,
    hotwords: str | None = None,
    **changes: Any,
) -> list[QualityReason]:
    evidence = TextEvidence.of(
        replace(HYPOTHESIS, **changes), replace(SECOND, speech=speech), Given(prompt, hotwords)
    )
    return [reason for reason, applies in rules if applies(evidence)]


def test_hotwords_that_the_model_repeats_on_silence_are_an_echo():
    doubtful = {"text": "Acme, Nanjing Road", "no_speech_prob": 0.5}
    assert reasons_for(hotwords="Acme, Nanjing Road", **doubtful) == [QualityReason.PROMPT_ECHO]
    assert reasons_for(hotwords="Zhongshan", **doubtful) == []
    assert reasons_for(hotwords="Acme", text="Acme", no_speech_prob=0.5) == []


def test_no_rule_applies_to_clear_speech():
    assert reasons_for() == reasons_for(REVIEWING) == []


@pytest.mark.parametrize(
    ("avg_logprob", "no_speech_prob", "reasons"),
    [
        (-1.0, 0.61, [QualityReason.NO_SPEECH]),
        (-1.0, 0.59, []),
        (-0.3, 0.96, [QualityReason.NO_SPEECH]),
        (-0.3, 0.94, []),
        (-2.0, 0.11, [QualityReason.NO_SPEECH]),
        (-2.0, 0.09, []),
    ],
)
def test_the_no_speech_threshold_depends_linearly_on_avg_logprob(
    avg_logprob: float, no_speech_prob: float, reasons: list[QualityReason]
):
    assert reasons_for(avg_logprob=avg_logprob, no_speech_prob=no_speech_prob) == reasons


def test_a_weak_detection_counts_if_the_text_is_improbable():
    assert reasons_for(speech=FAINT, avg_logprob=-0.51) == [QualityReason.WEAK_DETECTION]
    assert reasons_for(speech=FAINT, avg_logprob=-0.49) == []


def test_long_pauses_do_not_make_a_detection_weak():
    paused = Speech(ratio=0.6, peak=1.0, mean=0.2)  # 0.6 s of speech
    assert reasons_for(speech=paused, avg_logprob=-0.51) == []


def test_a_few_improbable_words_are_a_guess():
    assert reasons_for(text="oh", avg_logprob=-1.11) == [QualityReason.GUESS]
    assert reasons_for(text="你好吗", avg_logprob=-1.11) == [QualityReason.GUESS]
    assert reasons_for(text="你好吗呀", avg_logprob=-1.11) == []
    assert reasons_for(text="oh", avg_logprob=-1.09) == []


@pytest.mark.parametrize("text", ["", "…", "。"])
def test_punctuation_alone_is_no_text(text: str):
    assert QualityReason.NO_WORDS in reasons_for(text=text)


@pytest.mark.parametrize(
    ("text", "prompt", "reason"),
    [
        ("Thanks for watching!", None, QualityReason.SILENCE_PHRASE),
        ("请不吝点赞 订阅", None, QualityReason.SILENCE_PHRASE),
        ("calls about refunds", "Customer calls about refunds.", QualityReason.PROMPT_ECHO),
        ("啊啊啊啊", None, QualityReason.REPETITION),
    ],
)
def test_rules_about_the_text_require_weak_evidence(
    text: str, prompt: str | None, reason: QualityReason
):
    assert reasons_for(text=text, prompt=prompt) == []
    for weak in ({"no_speech_prob": 0.41}, {"avg_logprob": -0.71}, {"speech": FAINT}):
        assert reason in reasons_for(text=text, prompt=prompt, **weak)


def test_a_text_that_ends_in_a_loop_is_not_suppressed():
    text = "he sang no no no no no no no no"
    assert reasons_for(text=text, avg_logprob=-0.8) == []
    assert reasons_for(REVIEWING, text=text, speech=replace(CLEAR, ratio=1.0)) == [
        QualityReason.REPETITION
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"compression_ratio": 2.41}, QualityReason.REPETITION),
        ({"avg_logprob": -1.01}, QualityReason.LOW_LOGPROB),
        ({"text": "one two three four five six seven eight nine"}, QualityReason.TOO_FAST),
    ],
)
def test_weak_texts_are_marked_for_review(changes: dict[str, Any], reason: QualityReason):
    assert reasons_for(REVIEWING, **changes) == [reason]


def test_8_words_in_800_ms_are_not_too_fast():
    assert reasons_for(REVIEWING, text="one two three four five six seven eight") == []  # in 0.8 s


def word(start_s: float, end_s: float) -> TimedWord:
    return TimedWord(" word", start_s, end_s, 0.9)


def test_a_word_far_from_any_speech_is_without_speech():
    speech = Speech(0.5, 1.0, 0.5, probabilities=(0.9,) * 50 + (0.1,) * 50, window_ms=20)
    paused = utterance(np.zeros(2 * RATE, np.int16), speech)
    words = (word(0.5, 1.0), word(1.1, 1.4), word(1.21, 1.5), word(2.0, 2.0), word(2.5, 2.6))
    loudness = Loudness.of(paused.samples, RATE)
    # The last word is after the known windows.
    assert words_without_speech(words, paused, loudness) == [words[2], words[3]]


def test_in_clear_audio_a_word_no_louder_than_the_noise_is_without_speech():
    rng = np.random.default_rng(1)
    level = np.where(np.arange(2 * RATE) < RATE, 0.1, 0.001)
    clear = utterance(from_float((level * rng.standard_normal(2 * RATE)).astype(np.float32)))
    loudness = Loudness.of(clear.samples, RATE)
    words = (word(0.2, 0.5), word(1.1, 1.4), word(1.5, 1.8))
    assert words_without_speech(words, clear, loudness) == [words[2]]


def test_in_noise_a_quiet_word_is_kept():
    rng = np.random.default_rng(1)
    noise = utterance(from_float((0.1 * rng.standard_normal(RATE)).astype(np.float32)))
    assert words_without_speech((word(0.2, 0.5),), noise, Loudness.of(noise.samples, RATE)) == []
