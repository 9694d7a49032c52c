from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.quality.hallucinations import DecodedCase, FilterCase, correct, invented, lost
from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.text.hypothesis import Hypothesis


def decoded(text: str, *, number: int = 0, reference: str = "", **measures: Any) -> DecodedCase:
    samples = np.zeros(16_000, np.int16)
    utterance = Utterance(
        number=number,
        start=0,
        end=len(samples),
        speech_end=len(samples),
        rate=16_000,
        samples=samples,
        end_reason=EndReason.SILENCE,
        speech=Speech(0.8, 1.0, 0.8),
    )
    group = "as recorded" if reference else "cascade"
    case = FilterCase("clip", group, "en", utterance, reference)
    measures = {"avg_logprob": -0.2, "no_speech_prob": 0.0} | measures
    hypothesis = Hypothesis(
        text=text,
        language="en",
        language_probability=None,
        tokens=(),
        compression_ratio=1.0,
        **measures,
    )
    return DecodedCase(case, hypothesis)


SILENCE = decoded("you", avg_logprob=-1.2, no_speech_prob=0.9)
PHRASE = decoded("Thanks for watching!", avg_logprob=-0.8)
SPEECH = decoded("one two")


@pytest.mark.parametrize(
    ("each", "whisper", "own"),
    [(SILENCE, "", ""), (PHRASE, PHRASE.hypothesis.text, ""), (SPEECH, "one two", "one two")],
)
def test_filters_leave_texts_that_are_not_doubtful(each: DecodedCase, whisper: str, own: str):
    assert each.filtered("none") == each.hypothesis.text
    assert (each.filtered("Whisper's"), each.filtered("ours")) == (whisper, own)


def test_reasons_are_those_of_removed_text():
    assert "silence_phrase" in PHRASE.reasons
    assert SPEECH.reasons == ()
    assert decoded("one two three four five", avg_logprob=-1.05).reasons == ()  # for review


def test_invented_texts_are_counted_by_detector_and_language():
    assert invented([SILENCE, PHRASE, SPEECH]) == {
        "cascade, en": {"all": 3, "none": 3, "Whisper's": 2, "ours": 1}
    }


def test_correct_words_are_those_of_all_utterances_of_a_clip():
    reference = "red green blue thanks for watching"
    speech = [
        decoded("thanks for watching", number=1, reference=reference, avg_logprob=-0.8),
        decoded("red green blew", number=0, reference=reference),
    ]
    rows = correct(speech)
    assert rows == {"as recorded": {"all": 6, "none": 5, "Whisper's": 5, "ours": 2}}
    assert lost(rows) == pytest.approx(0.6)
