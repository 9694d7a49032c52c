from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_whisper import CPU, checkpoint_of, small_whisper

from bench.engine.engines.streamscribe import StreamscribeEngine
from bench.framework import BenchContext
from bench.quality.fold import BREAKS, checked, conclude
from bench.quality.recordings import Recording
from consumer.inference.fold import Folding, folded
from evaluation.samples import SAMPLES
from weights import fold_record
from weights.fold_record import FoldRecord, LanguageCheck

PASSED = FoldRecord(
    "0" * 64, "small", "float32", {"en": LanguageCheck(fold_record.MIN_CLIPS, 10.0, 10.5, -1, 2)}
)


def test_too_few_clips_are_refused_and_leave_no_record(
    run_bench: Callable[..., Any],
    tmp_path: Path,
    tiny_en_weights: Path,
    capsys: pytest.CaptureFixture[str],
):
    line, folds = "fold --clips 2 --threads 1 --dtype fp32", tmp_path / "folds"
    found = run_bench(line, model=tiny_en_weights, data=SAMPLES, record=folds)
    assert {check["name"]: check["ok"] for check in found["checks"]} == {
        "en.clips": False,
        "en.worse_high_points": True,
    }
    assert found["figures"]["en.clips"] == 2
    assert "refused" in capsys.readouterr().out
    assert not folds.exists()


def test_weights_that_pass_are_recorded(tmp_path: Path):
    assert "passed, recorded" in conclude(PASSED, tmp_path / "folds", broken=False)
    (file,) = (tmp_path / "folds").iterdir()
    assert fold_record.read(file) == PASSED


def test_a_broken_fold_is_never_recorded(tmp_path: Path):
    assert "passed, although" in conclude(PASSED, tmp_path / "folds", broken=True)
    assert not (tmp_path / "folds").exists()


NOISE = np.random.default_rng(3).standard_normal(8_000, np.float32)
SMALL = checkpoint_of(small_whisper())


def text(*, fold: bool, folding: Folding = folded) -> str:
    engine = StreamscribeEngine(SMALL, CPU, fold=fold, folding=folding)
    return engine.transcribe([NOISE], ["en"], words=False)[0].text


def test_without_the_bias_the_decoder_writes_another_text():
    assert text(fold=True, folding=BREAKS["no-bias"]) != text(fold=True)


def test_a_record_has_the_errors_of_padded_and_of_folded_texts():
    clip = Recording("noise", "en", text(fold=False), NOISE)
    context = BenchContext(argparse.Namespace())
    found = checked(context, SMALL, CPU, [clip], BREAKS["no-bias"]).languages["en"]
    assert (found.clips, found.padded_percent) == (1, 0)
    assert found.folded_percent > 0
    assert found.high_points == pytest.approx(found.folded_percent)
