"""The stages of `gpu_once`: `python -m bench.engine.gpu_once.stages JSON` runs one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from bench.__main__ import main as bench_main
from bench.engine.gpu_once import part_times, robustness, stream_load
from bench.engine.shapes import SHAPES, random_checkpoint
from bench.host import model_thread
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device, choose
from consumer.inference.graph_capture import executor_for
from consumer.inference.whisper_engine import WhisperTranscriber

_ROOT: Final = Path(__file__).parents[3]
_SEED: Final = 16
_TOP: Final = 20  # operations of the profile
_HOST_ROUNDS: Final = 3
_IDLE_CLIPS: Final = 8  # decoded alone, for the latency


@dataclass(frozen=True, slots=True)
class StageRequest:
    """What one stage is to measure."""

    stage: str
    shape: str
    out: str  # file of the findings
    batch: Sequence[int]
    streams: Sequence[int]
    seconds: float
    utterance_s: float
    tokens: int

    def checkpoint(self, device: Device) -> Checkpoint:
        dims = SHAPES[self.shape]
        return random_checkpoint(self.shape, dims, self.tokens, device.device, device.dtype)

    def clips(self, count: int) -> list[DecodeRequest]:
        """Return noise with word times, in English; each text is the first that is decoded."""
        length = int(self.utterance_s * WHISPER_RATE)
        noise = np.random.default_rng(_SEED).standard_normal((count, length), np.float32)
        return [DecodeRequest(row, ("en",), words=True, once=True) for row in 0.1 * noise]


def tests(_: StageRequest) -> dict[str, Any]:
    """Run the CUDA tests, without the configuration of the others, which needs more packages."""
    here = _ROOT / "tests"
    paths = [str(_ROOT), str(here / "support"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(  # noqa: S603 -- this repository's own tests
        [
            *(sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(_ROOT)),
            *(
                "--noconftest",
                "-p",
                "fixtures_weights",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:asyncio",
            ),
            *("-W", "error"),
            *("-W", "ignore::pytest.PytestUnknownMarkWarning", "-W", "ignore::ResourceWarning"),
            str(here / "consumer/inference/test_cuda.py"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    lines = done.stdout.strip().splitlines()
    return {"exit_code": done.returncode, "summary": lines[-1] if lines else "", "output": lines}


def times(asked: StageRequest) -> dict[str, Any]:
    """Time the parts of a batch on the device, and the host's part of an utterance."""
    device = choose()
    checkpoint = asked.checkpoint(device)
    found: dict[str, Any] = {}
    for rows in asked.batch:
        parts = part_times.measured(checkpoint, device, asked.clips(rows), asked.tokens)
        found |= {f"batch_{rows}.{part}_ms": ms for part, ms in parts.items()}
    host = model_thread.measured(_HOST_ROUNDS)
    return found | {f"host.{name}": value for name, value in host.items()}


def speed(asked: StageRequest) -> dict[str, Any]:
    """Run `bench gpu`."""
    out = Path(asked.out).with_suffix(".gpu.json")
    flags = {
        "shape": asked.shape,
        "batch": ",".join(map(str, asked.batch)),
        "utterance-s": asked.utterance_s,
        "tokens": asked.tokens,
        "idle-clips": _IDLE_CLIPS,
        "json": out,
    }
    if code := bench_main(["gpu", *(f"--{name}={value}" for name, value in flags.items())]):
        raise RuntimeError(f"bench gpu ended with {code}")
    found: dict[str, Any] = json.loads(out.read_text("utf-8"))["figures"]
    out.unlink()
    rtfx = (found.get(f"folded.batch_{rows}.rtfx") for rows in asked.batch)
    return found | {"best_rtfx": max((each for each in rtfx if each), default=None)}


def graphs(asked: StageRequest) -> dict[str, Any]:
    """Measure the memory of the recorded steps of all batch sizes."""
    device = choose()
    return robustness.graph_memory(asked.checkpoint(device), device, asked.clips(max(asked.batch)))


def memory(asked: StageRequest) -> dict[str, Any]:
    """Decode a batch that does not fit into the memory that is left."""
    device = choose()
    return robustness.halved(asked.checkpoint(device), device, asked.clips(max(asked.batch)))


def capture(asked: StageRequest) -> dict[str, Any]:
    """Decode while a capture is made to fail, and after it."""
    device = choose()
    return robustness.bad_capture(asked.checkpoint(device), device, asked.clips(min(asked.batch)))


def streams(asked: StageRequest) -> dict[str, Any]:
    """Find how many live streams have their finals within the limit."""
    device = choose()
    transcriber = WhisperTranscriber(asked.checkpoint(device), device, fold=True)
    load = stream_load.StreamLoad(asked.streams, asked.seconds, asked.utterance_s)
    return stream_load.measured(transcriber, load)


def profile(asked: StageRequest) -> dict[str, Any]:
    """List the operations that take most time of a warm batch."""
    device, clips = choose(), asked.clips(max(asked.batch))
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if on_cuda := device.device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    steps = executor_for(device.device)
    transcriber = WhisperTranscriber(asked.checkpoint(device), device, fold=True, steps=steps)
    for _ in range(3):
        transcriber.transcribe(clips)
    with torch.profiler.profile(activities=kinds) as profiler:
        transcriber.transcribe(clips)
    field = "self_device_time_total" if on_cuda else "self_cpu_time_total"
    averages = sorted(profiler.key_averages(), key=lambda one: -getattr(one, field))
    top = [
        {"name": one.key, "ms": getattr(one, field) / 1000, "calls": one.count}
        for one in averages[:_TOP]
    ]
    return {"top": top}


STAGES: Final[Mapping[str, Callable[[StageRequest], dict[str, Any]]]] = {
    stage.__name__: stage
    for stage in (tests, times, speed, graphs, memory, capture, streams, profile)
}


def main(argv: Sequence[str]) -> int:
    asked = StageRequest(**json.loads(argv[0]))
    found = STAGES[asked.stage](asked)
    Path(asked.out).write_text(json.dumps(found), "utf-8")
    return int(found.get("exit_code", 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
