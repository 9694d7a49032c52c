from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.engine.gpu_once import stages
from bench.engine.gpu_once.run import (
    LIMITS_S,
    MAX_TOTAL_S,
    OK,
    StageResult,
    checks,
    figures,
    plan,
    run_stage,
)
from bench.engine.gpu_once.stages import STAGES

CUDA_TESTS = Path(__file__).parents[2] / "consumer/inference/test_cuda.py"
TINY = {
    "shape": "tiny",
    "batch": [1, 2],
    "streams": [1],
    "seconds": 2.0,
    "utterance_s": 0.5,
    "tokens": 2,
}


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a stage here and returns what it wrote."""

    def run(stage: str, **changed: object) -> dict[str, Any]:
        out = tmp_path / "found.json"
        code = stages.main([json.dumps({**TINY, "stage": stage, "out": str(out), **changed})])
        answer: dict[str, Any] = json.loads(out.read_text("utf-8"))
        assert code == answer.get("exit_code", 0)
        return answer

    return run


def test_it_runs_its_stages_on_a_processor(run_bench: Callable[..., Any]):
    flags = "--stages capture --shapes tiny --batch 1 --utterance-s 0.5 --tokens 2 --patience 20"
    answer = run_bench(f"gpu_once {flags}")
    assert answer["figures"]["capture.tiny.status"] == OK
    assert answer["machine"]["details"]["capture.tiny"]["texts_equal_after_failure"] == 1
    assert answer["checks"] == []


def test_the_parts_of_every_batch_are_timed(found: Callable[..., dict[str, Any]]):
    answer = found("times")
    parts = ("mel", "encoder", "cross", "prompt", "step_eager", "alignment")
    assert all(answer[f"batch_{rows}.{part}_ms"] > 0 for rows in (1, 2) for part in parts)
    assert answer["host.words.ms"] > 0


def test_the_speed_is_that_of_bench_gpu(found: Callable[..., dict[str, Any]]):
    answer = found("speed", batch=[1])
    assert answer["best_rtfx"] == answer["folded.batch_1.rtfx"] > 0


def test_a_batch_without_memory_is_halved(found: Callable[..., dict[str, Any]]):
    answer = found("memory")
    assert (answer["texts"], answer["out_of_memory"], answer["batches"]) == (2, 1, "2,1,1")


def test_steps_run_eagerly_after_a_failed_capture_and_are_recorded_again(
    found: Callable[..., dict[str, Any]],
):
    answer = found("capture")
    assert answer["recordings_refused"] == 1
    assert answer["recordings_afterwards"] > 0
    assert answer["texts_equal_after_failure"] == answer["texts_equal_afterwards"] == 1


def test_graphs_are_counted(found: Callable[..., dict[str, Any]]):
    assert found("graphs")["recordings"] > 0


def test_streams_wait_for_their_texts(found: Callable[..., dict[str, Any]]):
    answer = found("streams")
    assert answer["1.p95_s"] >= answer["1.p50_s"] > 0
    assert answer["most_streams"] in {0, 1}


def test_the_profile_lists_the_operations_that_take_most_time(
    found: Callable[..., dict[str, Any]],
):
    top = found("profile")["top"]
    assert len(top) == 20
    assert [row["ms"] for row in top] == sorted((row["ms"] for row in top), reverse=True)


def test_the_cuda_tests_are_found(found: Callable[..., dict[str, Any]]):
    """They are skipped here, with the configuration that they have on a bare machine."""
    answer = found("tests")
    assert answer["exit_code"] == 0
    cuda_tests = CUDA_TESTS.read_text("utf-8").count("\ndef test_")
    assert answer["summary"].startswith(f"{cuda_tests} skipped")


def test_each_stage_has_a_limit_and_one_of_the_first_shape_runs_once():
    assert LIMITS_S.keys() == STAGES.keys()
    planned = plan(["tests", "times"], ["turbo", "large-v3"])
    assert planned == [("tests", "turbo"), ("times", "turbo"), ("times", "large-v3")]
    assert sum(LIMITS_S[stage] for stage, _ in plan([*STAGES], ["turbo"])) <= MAX_TOTAL_S


@pytest.mark.parametrize(
    ("program", "limit_s", "status"),
    [
        ("print('no kernel'); raise SystemExit(3)", 30.0, "failed: no kernel"),
        ("import subprocess; subprocess.run(['sleep', '600'])", 1.0, "no answer within 1 s"),
        ("", 0.0, "left out: no time is left"),
    ],
)
def test_a_stage_that_fails_or_hangs_is_recorded(
    program: str, limit_s: float, status: str, tmp_path: Path
):
    given = json.dumps({"out": str(tmp_path / "found.json")})
    result = run_stage("a.b", [sys.executable, "-c", program, given], limit_s)
    assert (result.status, result.found) == (status, {})


def test_what_a_stage_has_written_before_it_fails_is_kept(tmp_path: Path):
    out = tmp_path / "found.json"
    program = f"open({str(out)!r}, 'w').write('{{\"a\": 1}}'); raise SystemExit(1)"
    command = [sys.executable, "-c", program, json.dumps({"out": str(out)})]
    assert run_stage("a.b", command, 30.0).found == {"a": 1}


def result(name: str, status: str = OK, **found: object) -> StageResult:
    return StageResult(name, status, 1.0, found)


def test_the_targets_of_what_was_measured_are_checked():
    found: Mapping[str, object] = {"best_rtfx": 3_600.0, "folded.idle_final_p50_ms": 25.0}
    results = [
        StageResult("speed.turbo", OK, 1.0, found),
        result("streams.turbo", most_streams=2_000),
        result("times.large-v3", "no answer within 60 s"),
    ]
    assert {check.name: check.ok for check in checks(results)} == {
        "stages that failed": False,
        "turbo folded, RTFx": True,
        "turbo folded, idle final, ms": False,
        "turbo, live streams": False,
    }
    assert figures([result("profile.turbo", top=[1])]).keys() == {
        "profile.turbo.status",
        "profile.turbo.seconds",
    }
