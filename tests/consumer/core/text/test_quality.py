from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from consumer.core.audio.utterance import EndReason, Speech, Utterance
from consumer.core.text.hallucination import Given
from consumer.core.text.hypothesis import Hypothesis, TimedWord
from consumer.core.text.quality import assess
from consumer.testing import echo
from schemas.audio import Task
from schemas.transcript import QualityReason, Verdict

UTTERANCE = Utterance(
    number=0,
    start=0,
    end=16_000,
    speech_end=12_800,
    rate=16_000,
    samples=np.zeros(16_000, np.int16),
    end_reason=EndReason.SILENCE,
    speech=Speech(ratio=0.75, peak=1.0, mean=0.5),
)
GOOD = replace(
    echo(UTTERANCE.samples), avg_logprob=-0.2, no_speech_prob=0.01, compression_ratio=1.5
)


@pytest.mark.parametrize(
    ("changes", "verdict", "reasons"),
    [
        ({}, Verdict.ACCEPT, ()),
        ({"compression_ratio": 2.41}, Verdict.REVIEW, (QualityReason.REPETITION,)),
        (
            {"no_speech_prob": 0.7, "avg_logprob": -1.01, "compression_ratio": 3.0},
            Verdict.SUPPRESSED,
            (QualityReason.NO_SPEECH, QualityReason.REPETITION, QualityReason.LOW_LOGPROB),
        ),
    ],
)
def test_the_verdict_follows_from_the_reasons(
    changes: dict[str, float], verdict: Verdict, reasons: tuple[QualityReason, ...]
):
    assessment = assess(replace(GOOD, **changes), UTTERANCE)
    assert (assessment.quality.verdict, assessment.quality.reasons) == (verdict, reasons)
    assert assessment.is_suppressed is (verdict is Verdict.SUPPRESSED)


def test_a_reason_is_listed_once():
    quality = assess(replace(GOOD, text="no " * 9, no_speech_prob=0.5), UTTERANCE).quality
    assert quality.verdict is Verdict.SUPPRESSED
    assert quality.reasons.count(QualityReason.REPETITION) == 1


def test_the_measures_are_published():
    samples = UTTERANCE.samples.copy()
    samples[:160] = 32_767
    quality = assess(GOOD, replace(UTTERANCE, samples=samples)).quality
    assert quality.avg_logprob == -0.2
    assert quality.no_speech_prob == 0.01
    assert quality.compression_ratio == 1.5
    assert quality.speech_ratio == 0.75
    assert quality.clipped_ratio == 0.01
    assert quality.snr_db == 60.0


def test_words_per_second_and_improbable_words_are_counted():
    words = tuple(TimedWord(" a", 0.0, 0.1, probability) for probability in (0.9, 0.5, 0.49, 0.1))
    quality = assess(replace(GOOD, words=words), UTTERANCE).quality
    assert quality.words_per_second == 4.0
    assert quality.low_confidence_words == 2


def test_words_that_were_not_requested_are_not_counted():
    quality = assess(GOOD, UTTERANCE).quality
    assert quality.words_per_second is None
    assert quality.low_confidence_words is None


def test_an_utterance_without_a_word_has_0_words_per_second():
    assert assess(replace(GOOD, words=()), UTTERANCE).quality.words_per_second == 0


# 0.4 s of speech, then none.
PAUSED = replace(
    UTTERANCE, speech=Speech(0.4, 1.0, 0.4, probabilities=(0.9,) * 20 + (0.1,) * 30, window_ms=20)
)
WORDS = tuple(
    TimedWord(text, start_s, start_s + 0.1, 0.9)
    for text, start_s in (("read", 0.0), (" this", 0.2), (" and", 0.7), (" that.", 0.8))
)


def test_words_without_speech_are_removed_and_listed_as_a_reason():
    assessment = assess(replace(GOOD, text="read this and that.", words=WORDS), PAUSED)
    assert (assessment.hypothesis.text, assessment.hypothesis.words) == ("read this", WORDS[:2])
    assert assessment.removed == "and that."
    assert assessment.quality.verdict is Verdict.REVIEW
    assert assessment.quality.reasons == (QualityReason.WORD_WITHOUT_SPEECH,)
    assert assessment.quality.words_per_second == 2.0


def test_the_remaining_words_join_to_the_text():
    late = tuple(
        replace(word, start_s=0.9 - word.start_s, end_s=1.0 - word.start_s) for word in WORDS
    )
    assessment = assess(replace(GOOD, text="read this and that.", words=late), PAUSED)
    assert assessment.hypothesis.text == "and that."
    assert assessment.hypothesis.words is not None
    assert [word.text for word in assessment.hypothesis.words] == ["and", " that."]


def test_a_text_without_a_remaining_word_is_suppressed():
    in_silence = tuple(replace(word, start_s=0.8, end_s=0.9) for word in WORDS)
    assessment = assess(replace(GOOD, text="read this and that.", words=in_silence), PAUSED)
    assert assessment.is_suppressed
    assert assessment.removed == "read this and that."
    assert assessment.quality.reasons == (QualityReason.NO_WORDS, QualityReason.WORD_WITHOUT_SPEECH)


def test_an_echo_of_the_prompt_is_suppressed():
    assessment = assess(
        replace(GOOD, text="A call.", no_speech_prob=0.5), UTTERANCE, given=Given(prompt="a call")
    )
    assert assessment.quality.reasons == (QualityReason.PROMPT_ECHO,)
    assert assessment.removed == "A call."


def test_a_good_text_is_accepted_unchanged():
    assessment = assess(GOOD, UTTERANCE)
    assert assessment.hypothesis is GOOD
    assert assessment.removed is None


# 3 s of speech.
CONTINUOUS = replace(
    UTTERANCE,
    end=48_000,
    samples=np.zeros(48_000, np.int16),
    speech=Speech(1.0, 0.9, 0.9, probabilities=(0.9,) * 30, window_ms=100),
)


def hypothesis_of(*words: tuple[str, float, float]) -> Hypothesis:
    timed = tuple(TimedWord(*word, 0.9) for word in words)
    return replace(GOOD, text="".join(word.text for word in timed), words=timed)


def test_speech_without_a_word_is_marked_for_review():
    assessment = assess(hypothesis_of(("One", 0.0, 0.4), (" two.", 0.4, 0.9)), CONTINUOUS)
    assert assessment.quality.verdict is Verdict.REVIEW
    assert assessment.quality.reasons == (QualityReason.SPEECH_WITHOUT_WORD,)


def test_speech_that_words_cover_is_accepted():
    assessment = assess(
        hypothesis_of(("One", 0.0, 0.8), (" two", 1.2, 1.5), (" three.", 2.2, 2.9)), CONTINUOUS
    )
    assert assessment.quality.verdict is Verdict.ACCEPT


def test_missing_speech_of_a_translation_is_not_detected():
    assessment = assess(hypothesis_of(("One", 0.0, 0.4)), CONTINUOUS, task=Task.TRANSLATE)
    assert assessment.quality.verdict is Verdict.ACCEPT
