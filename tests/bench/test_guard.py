from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.guard import Case, Written, invented, lost, ours, right, unguarded, whispers
from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.text.hypothesis import Hypothesis


def written(text: str, *, number: int = 0, reference: str = "", **measures: Any) -> Written:
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
    case = Case("clip", "as recorded" if reference else "cascade", "en", utterance, reference)
    said = {"avg_logprob": -0.2, "no_speech_prob": 0.0} | measures
    hypothesis = Hypothesis(
        text=text,
        language="en",
        language_probability=None,
        tokens=(),
        compression_ratio=1.0,
        **said,
    )
    return Written(case, hypothesis)


SILENCE = written("you", avg_logprob=-1.2, no_speech_prob=0.9)
PHRASE = written("Thanks for watching!", avg_logprob=-0.8)
SPEECH = written("one two")


@pytest.mark.parametrize(
    ("each", "whisper", "guarded"),
    [(SILENCE, "", ""), (PHRASE, PHRASE.hypothesis.text, ""), (SPEECH, "one two", "one two")],
)
def test_guards_leave_what_they_do_not_doubt(each: Written, whisper: str, guarded: str):
    assert each.text(unguarded) == each.hypothesis.text
    assert (each.text(whispers), each.text(ours)) == (whisper, guarded)


def test_reasons_are_those_of_what_was_taken_away():
    assert "silence_phrase" in PHRASE.reasons
    assert SPEECH.reasons == ()
    assert written("one two three four five", avg_logprob=-1.05).reasons == ()  # for review


def test_texts_that_stand_are_counted_by_detector_and_language():
    assert invented([SILENCE, PHRASE, SPEECH]) == {
        "cascade, en": {"all": 3, "none": 3, "Whisper's": 2, "ours": 1}
    }


def test_right_words_are_those_of_all_utterances_of_a_clip():
    reference = "red green blue thanks for watching"
    spoken = [
        written("thanks for watching", number=1, reference=reference, avg_logprob=-0.8),
        written("red green blew", number=0, reference=reference),
    ]
    rows = right(spoken)
    assert rows == {"as recorded": {"all": 6, "none": 5, "Whisper's": 5, "ours": 2}}
    assert lost(rows) == pytest.approx(0.6)
