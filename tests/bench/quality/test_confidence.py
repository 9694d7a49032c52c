"""Confidences of texts that are decoded already, by part of the clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.quality.confidence import SOURCES, ScoredText, accuracy, check_enough
from bench.quality.known_clips import KnownClip
from bench.quality.recordings import Recording
from consumer.core.text.hypothesis import TimedWord
from consumer.errors import ConfigError
from consumer.testing import echo

WORDS, TOKENS = SOURCES


def scored(language: str = "en", snr_db: float | None = None, right: float = 1.0) -> ScoredText:
    samples = np.zeros(16_000, np.float32)
    words = (TimedWord(" a", 0, 1, 0.6), TimedWord(" b", 1, 2, 0.8))
    hypothesis = replace(echo(samples.astype(np.int16)), words=words, avg_logprob=-0.5)
    recording = Recording("clip", language, "a b", samples)
    return ScoredText(KnownClip(recording, "s", snr_db, ()), hypothesis, right, 2)


def test_each_source_takes_its_own_probability():
    (of_words,) = WORDS.samples([scored()])
    (of_tokens,) = TOKENS.samples([scored()])
    assert of_words.probability == pytest.approx(0.7)
    assert of_tokens.probability == pytest.approx(0.6065, abs=1e-4)


def test_parts_without_a_text_are_left_out():
    found = WORDS.by_part([scored(right=0.5), scored("zh", 3.0), scored("zh")])
    counts = {name: metrics.utterances for name, metrics in found.items()}
    assert counts == {"all": 3, "en": 1, "zh": 2, "as recorded": 2, "noise 3 dB": 1}
    assert found["en"].right == 0.5


def test_too_few_speakers_are_reported_before_anything_is_evaluated():
    with pytest.raises(ConfigError, match=r"^clips: .*at least 2 speaker"):
        check_enough([scored()], Path("clips"), speakers=2)
    check_enough([scored()], Path("clips"), speakers=1)


@pytest.mark.parametrize(
    ("reference", "text", "language", "right", "words"),
    [
        ("three five one", "3, 5, 1.", "en", 1.0, 3),
        ("three five one", "351", "en", 1.0, 3),
        ("the cat sat down", "The cat sat.", "en", 0.75, 4),
        ("hello", "hello and so on", "en", 0.0, 1),
        ("二零一五年", "2015年", "zh", 1.0, 5),
        ("开放时间", "開放时间。", "zh", 1.0, 4),
        ("开放时间", "", "zh", 0.0, 4),
    ],
)
def test_accuracy_counts_numbers_in_any_form_as_correct(
    reference: str, text: str, language: str, right: float, words: int
):
    assert accuracy(reference, text, language) == (right, words)
