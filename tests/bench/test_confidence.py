"""The command on what was decoded already: parts, tables and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.confidence import KINDS, Evidence, _check_enough, judgements
from bench.known_utterances import Heard
from consumer.core.text.hypothesis import TimedWord
from consumer.errors import ConfigError
from consumer.testing import echo

WORDS, TOKENS = KINDS


def evidence(language: str = "en", snr_db: float | None = None, right: float = 1.0) -> Evidence:
    samples = np.zeros(16_000, np.float32)
    words = (TimedWord(" a", 0, 1, 0.6), TimedWord(" b", 1, 2, 0.8))
    hypothesis = replace(echo(samples.astype(np.int16)), words=words, avg_logprob=-0.5)
    return Evidence(Heard(samples, language, "a b", "s", snr_db), hypothesis, right, 2)


def test_each_kind_takes_its_own_probability():
    (of_words,) = WORDS.samples([evidence()])
    (of_tokens,) = TOKENS.samples([evidence()])
    assert of_words.probability == pytest.approx(0.7)
    assert of_tokens.probability == pytest.approx(0.6065, abs=1e-4)


def test_parts_that_nothing_belongs_to_are_left_out():
    found = [evidence(right=0.5), evidence("zh", 3.0), evidence("zh")]
    judged = judgements(WORDS, found)
    counts = {name: judgement.utterances for name, judgement in judged.items()}
    assert counts == {"all": 3, "en": 1, "zh": 2, "as recorded": 2, "noise 3 dB": 1}
    assert judged["en"].right == 0.5


def test_too_few_clips_are_told_before_anything_is_judged():
    with pytest.raises(ConfigError, match=r"^clips: .*at least 2 speaker"):
        _check_enough([evidence()], Path("clips"), speakers=2)
    _check_enough([evidence()], Path("clips"), speakers=1)
