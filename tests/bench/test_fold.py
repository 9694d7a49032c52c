from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_whisper import CPU, checkpoint_of, small_whisper

from bench import fold as bench_fold
from bench.engines.ours import Ours
from bench.fold import main, unbiased
from consumer.inference.fold import Folding, folded
from evaluation.samples import SAMPLES
from weights import fold_record


def run(tmp_path: Path, weights: Path, *flags: str) -> dict[str, object]:
    line = [
        "--model",
        str(weights),
        "--data",
        str(SAMPLES),
        "--clips",
        "2",
        "--threads",
        "1",
        *flags,
    ]
    told = tmp_path / "told.json"
    assert main([*line, "--record", str(tmp_path / "folds"), "--json", str(told)]) == 0
    return json.loads(told.read_text())  # type: ignore[no-any-return]


def test_a_few_clips_are_refused_and_leave_no_record(
    tmp_path: Path, tiny_en_weights: Path, capsys: pytest.CaptureFixture[str]
):
    told = run(tmp_path, tiny_en_weights)
    assert {check["name"]: check["ok"] for check in told["checks"]} == {  # type: ignore[attr-defined]
        "en.clips": False,
        "en.worse_high_points": True,
    }
    assert "refused" in capsys.readouterr().out
    assert not (tmp_path / "folds").exists()


@pytest.fixture
def two_are_enough(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fold_record, "MIN_CLIPS", 2)
    monkeypatch.setattr(bench_fold, "MIN_CLIPS", 2)
    return


@pytest.mark.usefixtures("two_are_enough")
def test_what_passes_is_recorded(tmp_path: Path, tiny_en_weights: Path):
    told = run(tmp_path, tiny_en_weights)
    (file,) = (tmp_path / "folds").iterdir()
    record = fold_record.read(file)
    assert record.passed
    assert record.sha256 == told["figures"]["weights_sha256"]  # type: ignore[index]
    assert record.languages["en"].clips == 2


@pytest.mark.usefixtures("two_are_enough")
def test_a_broken_fold_is_never_recorded(tmp_path: Path, tiny_en_weights: Path):
    run(tmp_path, tiny_en_weights, "--break", "no-bias")
    assert not (tmp_path / "folds").exists()


def test_without_the_bias_the_same_clip_is_another_to_the_decoder():
    noise = np.random.default_rng(3).standard_normal(8_000, np.float32)
    checkpoint = checkpoint_of(small_whisper())

    def text(folding: Folding) -> str:
        engine = Ours(checkpoint, CPU, fold=True, folding=folding)
        return engine.transcribe([noise], ["en"], words=False)[0].text

    assert text(unbiased) != text(folded)
