from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import engine
from bench.__main__ import main as bench
from bench.engines.catalog import PEERS, Variant
from evaluation.samples import SAMPLES


def run(tmp_path: Path, weights: Path, line: str) -> dict[str, Any]:
    told = tmp_path / "told.json"
    where = ["--threads", "1", "--model", str(weights), "--data", str(SAMPLES), "--json", str(told)]
    assert bench(["engine", *line.split(), *where]) == 0
    return json.loads(told.read_text())  # type: ignore[no-any-return]


def test_speed_beside_a_peer(tmp_path: Path, tiny_en_weights: Path):
    line = "--figures speed --peers openai-whisper --languages en --batch 1,2 --word-times on,off"
    told = run(tmp_path, tiny_en_weights, f"{line} --clips 2 --rounds 1 --utterance-s 2")
    figures, name = told["figures"], f"streamscribe-{told['machine']['dtype']}"
    ours = figures[f"en.batch_2.words_off.{name}.rtfx"]
    peer = figures["en.batch_1.words_off.openai-whisper.rtfx"]
    assert figures[f"en.batch_2.words_off.{name}.times_openai-whisper"] == pytest.approx(
        ours / peer
    )
    assert figures[f"{name}.peak_mb"] > 100
    assert {check["name"] for check in told["checks"]} == {
        f"en.batch_{size}.words_on.{name}.words_cost" for size in (1, 2)
    }


def test_accuracy_and_words_beside_openai_whisper(tmp_path: Path, tiny_en_weights: Path):
    line = "--figures accuracy,words --languages en --clips 1 --dtype fp32"
    told = run(tmp_path, tiny_en_weights, line)
    figures = told["figures"]
    assert figures["en.openai-whisper.error_percent"] < 10
    assert figures["streamscribe-fp32.batch_1_and_16_same"] == 1
    assert figures["words.faulty_clips"] == 0
    assert figures["en.word_starts_against_openai-whisper_alignment.within_60_ms"] > 0.9
    assert all(check["ok"] for check in told["checks"])


def test_an_english_model_has_no_chinese(tmp_path: Path, tiny_en_weights: Path, capsys: Any):
    line = f"engine --figures accuracy --languages zh --model {tiny_en_weights} --data {SAMPLES}"
    assert bench(line.split()) == 2
    assert "--languages en" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    absent = Variant("faster-whisper", "", "int8", needs="no_such_package_anywhere")
    monkeypatch.setitem(PEERS, "faster-whisper", absent)
    assert bench(["engine", "--figures", "speed", "--peers", "faster-whisper"]) == 2
    assert "pip install 'streamscribe[bench]'" in capsys.readouterr().err


def test_the_default_is_all_of_it():
    asked = engine._parser().parse_args([])
    assert asked.figures == ("speed", "accuracy", "words")
    assert asked.word_times == (True, False)
    assert (asked.batch, asked.rounds) == ((1, 8, 16), 3)
