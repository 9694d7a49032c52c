from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import gpu
from bench.gpu import Way, checks, main
from consumer.inference.device import Device
from evaluation.samples import SAMPLES

GPU = Device(torch.device("cuda", 0), torch.float16, "a GPU", "")
CPU = Device(torch.device("cpu"), torch.float32, "a processor", "")
FOLDED = Way("folded", {1: 200.0, 8: 3_600.0, 64: None}, 0.1, (19.0, 30.0, 18.0))


@pytest.fixture(autouse=True)
def few_finals(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "IDLE_FINALS", 2)


def test_it_runs_on_a_processor(tmp_path: Path):
    line = "--shape tiny --batch 1,2 --rounds 1 --utterance-s 1 --tokens 3 --threads 1 --json"
    assert main([*line.split(), str(tmp_path / "x.json")]) == 0

    told = json.loads((tmp_path / "x.json").read_text())
    assert told["machine"]["weights"] == "random"
    assert told["checks"] == []
    figures = told["figures"]
    for way in ("folded", "padded"):
        assert figures[f"{way}.batch_2.rtfx"] > 0
        assert figures[f"{way}.idle_final_p95_ms"] >= figures[f"{way}.idle_final_p50_ms"] > 0
    assert figures["peak_mb"] > 0


def test_it_runs_real_weights_on_real_speech(tmp_path: Path, tiny_en_weights: Path):
    line = f"--model {tiny_en_weights} --data {SAMPLES} --batch 1 --rounds 1 --threads 1 --json"
    assert main([*line.split(), str(tmp_path / "x.json")]) == 0
    told = json.loads((tmp_path / "x.json").read_text())
    assert told["machine"]["model"] == "tiny.en"
    assert told["figures"]["folded.batch_1.rtfx"] > 0


def test_a_gpu_is_held_to_the_limits_of_its_shape():
    rtfx, idle = checks("turbo", [FOLDED], GPU)
    assert (rtfx.value, rtfx.ok) == (3_600, True)
    assert (idle.value, idle.ok) == (19, True)
    (large,) = checks("large-v3", [FOLDED], GPU)
    assert large.limit == 2_000


@pytest.mark.parametrize(("shape", "device"), [("base", GPU), ("turbo", CPU)])
def test_other_shapes_and_processors_have_no_limits(shape: str, device: Device):
    assert not [*checks(shape, [FOLDED], device)]


def test_what_did_not_fit_into_memory_is_no_speed():
    assert FOLDED.best_rtfx == 3_600
    assert Way("padded", {64: None}, None, ()).best_rtfx == 0
