from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from consumer.core.audio.utterance import EndReason, Speech, Utterance
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
def test_the_evidence_decides(
    changes: dict[str, float], verdict: Verdict, reasons: tuple[QualityReason, ...]
):
    judged = assess(replace(GOOD, **changes), UTTERANCE)
    assert (judged.quality.verdict, judged.quality.reasons) == (verdict, reasons)
    assert judged.is_suppressed is (verdict is Verdict.SUPPRESSED)


def test_a_reason_is_told_once():
    quality = assess(replace(GOOD, text="no " * 9, no_speech_prob=0.5), UTTERANCE).quality
    assert quality.verdict is Verdict.SUPPRESSED
    assert quality.reasons.count(QualityReason.REPETITION) == 1


def test_the_evidence_is_told():
    samples = UTTERANCE.samples.copy()
    samples[:160] = 32_767
    quality = assess(GOOD, replace(UTTERANCE, samples=samples)).quality
    assert quality.avg_logprob == -0.2
    assert quality.no_speech_prob == 0.01
    assert quality.compression_ratio == 1.5
    assert quality.speech_ratio == 0.75
    assert quality.clipped_ratio == 0.01
    assert quality.snr_db == 60.0


def test_words_are_counted_by_the_second_and_by_their_doubt():
    words = tuple(TimedWord(" a", 0.0, 0.1, probability) for probability in (0.9, 0.5, 0.49, 0.1))
    quality = assess(replace(GOOD, words=words), UTTERANCE).quality
    assert quality.words_per_second == 4.0
    assert quality.low_confidence_words == 2


def test_words_that_were_not_wanted_are_not_counted():
    quality = assess(GOOD, UTTERANCE).quality
    assert quality.words_per_second is None
    assert quality.low_confidence_words is None


def test_an_utterance_without_a_word_has_none_a_second():
    assert assess(replace(GOOD, words=()), UTTERANCE).quality.words_per_second == 0


# 0.4 s of speech, then none.
PAUSED = replace(
    UTTERANCE, speech=Speech(0.4, 1.0, 0.4, probabilities=(0.9,) * 20 + (0.1,) * 30, window_ms=20)
)
WORDS = tuple(
    TimedWord(text, start_s, start_s + 0.1, 0.9)
    for text, start_s in (("said", 0.0), (" this", 0.2), (" and", 0.7), (" that.", 0.8))
)


def test_words_without_speech_are_taken_out_and_it_is_told():
    judged = assess(replace(GOOD, text="said this and that.", words=WORDS), PAUSED)
    assert (judged.hypothesis.text, judged.hypothesis.words) == ("said this", WORDS[:2])
    assert judged.removed == "and that."
    assert judged.quality.verdict is Verdict.REVIEW
    assert judged.quality.reasons == (QualityReason.WORD_WITHOUT_SPEECH,)
    assert judged.quality.words_per_second == 2.0


def test_the_words_that_are_left_join_to_the_text():
    late = tuple(
        replace(word, start_s=0.9 - word.start_s, end_s=1.0 - word.start_s) for word in WORDS
    )
    judged = assess(replace(GOOD, text="said this and that.", words=late), PAUSED)
    assert judged.hypothesis.text == "and that."
    assert judged.hypothesis.words is not None
    assert [word.text for word in judged.hypothesis.words] == ["and", " that."]


def test_a_text_of_which_no_word_is_left_is_suppressed():
    gone = tuple(replace(word, start_s=0.8, end_s=0.9) for word in WORDS)
    judged = assess(replace(GOOD, text="said this and that.", words=gone), PAUSED)
    assert judged.is_suppressed
    assert judged.removed == "said this and that."
    assert judged.quality.reasons == (QualityReason.NO_WORDS, QualityReason.WORD_WITHOUT_SPEECH)


def test_an_echo_of_the_prompt_is_suppressed():
    judged = assess(replace(GOOD, text="A call.", no_speech_prob=0.5), UTTERANCE, prompt="a call")
    assert judged.quality.reasons == (QualityReason.PROMPT_ECHO,)
    assert judged.removed == "A call."


def test_all_of_a_good_text_stands():
    judged = assess(GOOD, UTTERANCE)
    assert judged.hypothesis is GOOD
    assert judged.removed is None


# 3 s of speech.
TALKED = replace(
    UTTERANCE,
    end=48_000,
    samples=np.zeros(48_000, np.int16),
    speech=Speech(1.0, 0.9, 0.9, probabilities=(0.9,) * 30, window_ms=100),
)


def spoken(*words: tuple[str, float, float]) -> Hypothesis:
    timed = tuple(TimedWord(*word, 0.9) for word in words)
    return replace(GOOD, text="".join(word.text for word in timed), words=timed)


def test_speech_without_a_word_is_told():
    judged = assess(spoken(("One", 0.0, 0.4), (" two.", 0.4, 0.9)), TALKED)
    assert judged.quality.verdict is Verdict.REVIEW
    assert judged.quality.reasons == (QualityReason.SPEECH_WITHOUT_WORD,)


def test_speech_that_words_cover_leaves_nothing_to_tell():
    judged = assess(spoken(("One", 0.0, 0.8), (" two", 1.2, 1.5), (" three.", 2.2, 2.9)), TALKED)
    assert judged.quality.verdict is Verdict.ACCEPT


def test_of_a_translation_nobody_can_tell_what_is_missing():
    judged = assess(spoken(("One", 0.0, 0.4)), TALKED, task=Task.TRANSLATE)
    assert judged.quality.verdict is Verdict.ACCEPT
