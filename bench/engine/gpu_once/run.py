"""All that is owed on a GPU, in one call of at most seven minutes.

Every stage is a process of its own with its own time limit: one that hangs or fails is recorded,
and the next one runs. Weights are random but for the tests. Without a GPU it runs on the processor,
with `--shapes tiny`, to test itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.engine.gpu import MAX_IDLE_MS, MIN_RTFX
from bench.engine.gpu_once.packed_weights import unpack
from bench.engine.gpu_once.stages import STAGES
from bench.engine.shapes import SHAPES
from bench.framework import (
    BenchContext,
    Findings,
    above_zero,
    add_numbers,
    list_of,
    machine,
    one_of,
)
from consumer.inference.device import choose, usable_cores
from evaluation.report import Check, Figures, Sense
from transport.arguments import positive

MAX_TOTAL_S: Final = 420.0
MIN_STREAMS: Final = 4_000  # target: live streams of turbo
OK: Final = "ok"
WEIGHTS_VARIABLE: Final = "BASE_WEIGHTS"  # of tests/support/fixtures_weights.py
_LAST_LINES: Final = 12  # of a stage that failed

# Seconds of each stage. Those of shapes are run for each of them, the first ones first.
LIMITS_S: Final[Mapping[str, float]] = {
    "tests": 110.0,
    "times": 60.0,
    "speed": 75.0,
    "graphs": 30.0,
    "memory": 30.0,
    "capture": 20.0,
    "streams": 60.0,
    "profile": 30.0,
}
_ONCE: Final = ("tests", "memory", "capture")  # stages of the first shape alone


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage has found."""

    name: str
    status: str  # ok, "failed: ...", or "no answer within ... s"
    seconds: float
    found: Mapping[str, Any]  # figures by name; tables may be among them


def run(context: BenchContext) -> Findings:
    asked = context.arguments
    planned = plan(asked.stages, asked.shapes)
    results = []
    ends_at = time.monotonic() + asked.total_s
    with tempfile.TemporaryDirectory() as folder, context.progress(len(planned)) as advance:
        if asked.weights:
            unpack(asked.weights, Path(folder, "base.pt"))
            os.environ[WEIGHTS_VARIABLE] = str(Path(folder, "base.pt"))
        for stage, shape in planned:
            limit_s = min(asked.patience * LIMITS_S[stage], ends_at - time.monotonic())
            command = _command(asked, stage, shape, Path(folder, "found.json"))
            results.append(run_stage(f"{stage}.{shape}", command, limit_s))
            advance(1, results[-1].name)
    device = choose()
    details = {one.name: dict(one.found) for one in results}
    return Findings(
        figures(results),
        [*checks(results)] if device.device.type == "cuda" else [],
        measured_on=machine(device.numbers, usable_cores(), weights="random", details=details),
        notes=[f"{one.name}: {one.status}, {one.seconds:.0f} s" for one in results],
    )


def plan(stages: Sequence[str], shapes: Sequence[str]) -> list[tuple[str, str]]:
    """Return the stages in order, each with a shape."""
    return [
        (stage, shape) for stage in stages for shape in (shapes[:1] if stage in _ONCE else shapes)
    ]


def _command(asked: argparse.Namespace, stage: str, shape: str, out: Path) -> list[str]:
    given = {
        "stage": stage,
        "shape": shape,
        "out": str(out),
        "batch": [*asked.batch],
        "streams": [*asked.streams],
        "seconds": asked.seconds,
        "utterance_s": asked.utterance_s,
        "tokens": asked.tokens,
    }
    return [sys.executable, "-m", "bench.engine.gpu_once.stages", json.dumps(given)]


def run_stage(name: str, command: Sequence[str], limit_s: float) -> StageResult:
    """Run a stage that writes its findings to `out`; end it at its limit."""
    out = Path(json.loads(command[-1])["out"])
    out.unlink(missing_ok=True)
    started = time.monotonic()
    if limit_s <= 0:
        return StageResult(name, "left out: no time is left", 0.0, {})
    try:
        code, output = _finished(command, limit_s)
        lines = output.strip().splitlines()[-_LAST_LINES:]
        status = OK if code == 0 else "failed: " + " | ".join(lines)
    except subprocess.TimeoutExpired:
        status = f"no answer within {limit_s:.0f} s"
    found = json.loads(out.read_text("utf-8")) if out.exists() else {}
    return StageResult(name, status, time.monotonic() - started, found)


def _finished(command: Sequence[str], limit_s: float) -> tuple[int, str]:
    """Return the exit code and the output. Raises `TimeoutExpired`; then no child is left."""
    with subprocess.Popen(  # noqa: S603 -- a command of this module
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output


def figures(results: Sequence[StageResult]) -> Figures:
    """Return the status and the plain values of every stage."""
    found: Figures = {}
    for one in results:
        found |= {f"{one.name}.status": one.status, f"{one.name}.seconds": one.seconds}
        for key, value in one.found.items():
            if value is None or isinstance(value, int | float | str):
                found[f"{one.name}.{key}"] = value
    return found


def checks(results: Sequence[StageResult]) -> Iterator[Check]:
    """Yield the targets of a GPU, of what was measured."""
    found = figures(results)
    failed = sum(one.status != OK for one in results)
    yield Check("stages that failed", failed, 0)
    for shape, least in MIN_RTFX.items():
        if value := _number(found, f"speed.{shape}.best_rtfx"):
            yield Check(f"{shape} folded, RTFx", value, least, Sense.AT_LEAST)
    for shape, most in MAX_IDLE_MS.items():
        if value := _number(found, f"speed.{shape}.folded.idle_final_p50_ms"):
            yield Check(f"{shape} folded, idle final, ms", value, most)
    if value := _number(found, "streams.turbo.most_streams"):
        yield Check("turbo, live streams", value, MIN_STREAMS, Sense.AT_LEAST)


def _number(found: Figures, name: str) -> float:
    value = found.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stages",
        type=list_of(one_of(*STAGES)),
        default=tuple(STAGES),
        metavar="NAMES",
        help=f"any of {', '.join(STAGES)} (default: all)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="Whisper base as gpu_kit packs it, for the tests (default: base, fetched)",
    )
    parser.add_argument(
        "--shapes",
        type=list_of(one_of(*SHAPES)),
        default=("turbo", "large-v3"),
        metavar="NAMES",
        help="of models (default: turbo,large-v3)",
    )
    add_numbers(
        parser,
        ("batch", list_of(positive), "1,16,64,128", "rows, several sizes"),
        ("streams", list_of(positive), "250,500,1000,2000,4000,8000", "live streams to try"),
        ("seconds", above_zero, 5.0, "of speech at each number of streams"),
        ("utterance-s", above_zero, 4.0, "seconds of a clip"),
        ("tokens", positive, 22, "of a text"),
        ("total-s", above_zero, MAX_TOTAL_S, "for all stages together"),
        ("patience", above_zero, 1.0, "times the limit of each stage, on a slow machine"),
    )
