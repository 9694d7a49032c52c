from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from consumer.core.quality import assess
from consumer.core.values import EndReason, Speech, TimedWord, Utterance
from consumer.testing import echo
from schemas.transcript import Verdict

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
        ({"compression_ratio": 2.4}, Verdict.ACCEPT, ()),
        ({"compression_ratio": 2.41}, Verdict.REVIEW, ("repetition",)),
        ({"avg_logprob": -1.0}, Verdict.ACCEPT, ()),
        ({"avg_logprob": -1.01}, Verdict.REVIEW, ("low_logprob",)),
        ({"no_speech_prob": 0.99}, Verdict.ACCEPT, ()),
        ({"no_speech_prob": 0.6, "avg_logprob": -1.01}, Verdict.REVIEW, ("low_logprob",)),
        (
            {"no_speech_prob": 0.61, "avg_logprob": -1.01},
            Verdict.SUPPRESSED,
            ("no_speech", "low_logprob"),
        ),
        (
            {"no_speech_prob": 0.61, "avg_logprob": -1.01, "compression_ratio": 3.0},
            Verdict.SUPPRESSED,
            ("no_speech", "repetition", "low_logprob"),
        ),
    ],
)
def test_the_evidence_decides(
    changes: dict[str, float], verdict: Verdict, reasons: tuple[str, ...]
):
    quality = assess(replace(GOOD, **changes), UTTERANCE)
    assert (quality.verdict, quality.reasons) == (verdict, reasons)


def test_the_evidence_is_told():
    quality = assess(GOOD, UTTERANCE)
    assert quality.avg_logprob == -0.2
    assert quality.no_speech_prob == 0.01
    assert quality.compression_ratio == 1.5
    assert quality.speech_ratio == 0.75
    assert quality.snr_db is None


def test_words_are_counted_by_the_second_and_by_their_doubt():
    words = tuple(TimedWord(" a", 0.0, 0.1, probability) for probability in (0.9, 0.5, 0.49, 0.1))
    quality = assess(replace(GOOD, words=words), UTTERANCE)
    assert quality.words_per_second == 4.0
    assert quality.low_confidence_words == 2


def test_words_that_were_not_wanted_are_not_counted():
    quality = assess(GOOD, UTTERANCE)
    assert quality.words_per_second is None
    assert quality.low_confidence_words is None


def test_an_utterance_without_a_word_has_none_a_second():
    assert assess(replace(GOOD, words=()), UTTERANCE).words_per_second == 0
