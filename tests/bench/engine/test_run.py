from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main as bench
from bench.engine.engines.catalog import PEERS, Variant, Weights
from bench.engine.run import EngineBench, GroupResult, arguments
from bench.engine.worker import EngineRunner
from bench.framework import BenchContext
from evaluation.samples import SAMPLES


class InlineExecutor(Executor):
    """Runs everything in the caller's thread: loading torch into a process takes seconds."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **more))
        return future


def parsed(*line: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments(parser)
    return parser.parse_args(line)


def test_speed_beside_a_peer(run_bench: Callable[..., Any], tiny_en_weights: Path):
    line = "--figures speed --peers openai-whisper --languages en --batch 1,2 --word-times on,off"
    size = "--clips 2 --rounds 1 --utterance-s 1 --threads 1"
    found = run_bench(f"engine {line} {size}", model=tiny_en_weights, data=SAMPLES)
    figures, name = found["figures"], f"streamscribe-{found['machine']['dtype']}"
    own = figures[f"en.batch_2.words_off.{name}.rtfx"]
    peer = figures["en.batch_1.words_off.openai-whisper.rtfx"]
    assert figures[f"en.batch_2.words_off.{name}.times_openai-whisper"] == pytest.approx(own / peer)
    assert figures[f"{name}.peak_mb"] > 100
    assert {check["name"] for check in found["checks"]} == {
        f"en.batch_{size}.words_on.{name}.words_cost" for size in (1, 2)
    }


@pytest.fixture(scope="module")
def engine_bench(tiny_en_weights: Path) -> EngineBench:
    asked = parsed("--languages", "en", "--clips", "1", "--data", str(SAMPLES))
    runner = EngineRunner(BenchContext(asked), Weights(tiny_en_weights), InlineExecutor)
    return EngineBench(asked, ("fp32",), (), frozenset({"en"}), runner)


@pytest.mark.usefixtures("one_thread")
def test_accuracy_beside_openai_whisper(engine_bench: EngineBench):
    found = engine_bench.accuracy()
    figures = found.figures()
    assert figures["en.openai-whisper.error_percent"] < 10  # type: ignore[operator]
    assert figures["streamscribe-fp32.batch_1_and_16_same"] == 1
    assert all_ok(found)


@pytest.mark.usefixtures("one_thread")
def test_word_times_beside_openai_whisper(engine_bench: EngineBench):
    found = engine_bench.words()
    figures = found.figures()
    assert figures["words.faulty_clips"] == 0
    near = figures["en.word_starts_against_openai-whisper_alignment.within_60_ms"]
    assert near > 0.9  # type: ignore[operator]
    assert all_ok(found)


def all_ok(found: GroupResult) -> bool:
    return all(check.ok for check in found.checks())


def test_an_english_model_has_no_chinese(tiny_en_weights: Path, capsys: pytest.CaptureFixture[str]):
    line = f"engine --figures accuracy --languages zh --model {tiny_en_weights} --data {SAMPLES}"
    assert bench(line.split()) == 2
    assert "--languages en" in capsys.readouterr().err


def test_a_missing_peer_is_reported_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    missing = Variant("faster-whisper", "", "int8", package="no_such_package_anywhere")
    monkeypatch.setitem(PEERS, "faster-whisper", missing)
    assert bench(["engine", "--figures", "speed", "--peers", "faster-whisper"]) == 2
    assert "pip install 'streamscribe[bench]'" in capsys.readouterr().err


def test_by_default_all_groups_are_measured():
    asked = parsed()
    assert asked.figures == ("speed", "accuracy", "words")
    assert asked.peers == ("openai-whisper", "faster-whisper", "transformers")
    assert asked.word_times == (True, False)
    assert (asked.batch, asked.rounds) == ((1, 8, 16), 3)
