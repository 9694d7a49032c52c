from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.files import ClipRound, LanguageResult
from evaluation.samples import SAMPLES


def test_the_share_is_the_median_of_the_rounds():
    rounds = [ClipRound(8.0, 10.0), ClipRound(9.0, 10.0), ClipRound(1.0, 10.0)]
    result = LanguageResult("en", rounds, files_error=0.1, engine_error=0.2)
    assert result.share == pytest.approx(0.8)
    assert result.figures()["en.error_percent"] == pytest.approx(10)


def test_it_measures_clips_and_a_long_file(run_bench: Callable[..., Any], tiny_en_weights: Path):
    line = "files --rounds 1 --long-minutes 1"
    found = run_bench(line, model=tiny_en_weights, data=SAMPLES)["figures"]
    assert found["en.error_percent"] < 20
    assert found["en.rtfx"] > 0
    assert found["long.segments"] > 5
    assert "zh.rtfx" not in found  # the model is English only
