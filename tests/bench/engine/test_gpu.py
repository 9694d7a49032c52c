from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.engine.gpu import FoldModeSpeed, checks
from consumer.inference.device import Device
from evaluation.samples import SAMPLES

GPU = Device(torch.device("cuda", 0), torch.float16, "a GPU", "")
CPU = Device(torch.device("cpu"), torch.float32, "a processor", "")
FOLDED = FoldModeSpeed("folded", {1: 200.0, 8: 3_600.0, 64: None}, 0.1, (19.0, 30.0, 18.0))


def test_it_runs_on_a_processor(run_bench: Callable[..., Any]):
    line = "--shape tiny --batch 2 --rounds 1 --utterance-s 1 --tokens 3 --idle-clips 1"
    found = run_bench(f"gpu {line} --threads 1")
    assert found["machine"]["weights"] == "random"
    assert found["checks"] == []
    figures = found["figures"]
    for mode in ("folded", "padded"):
        assert figures[f"{mode}.batch_2.rtfx"] > 0
        assert figures[f"{mode}.idle_final_p95_ms"] >= figures[f"{mode}.idle_final_p50_ms"] > 0
    assert figures["peak_mb"] > 0


def test_it_runs_real_weights_on_real_speech(run_bench: Callable[..., Any], tiny_en_weights: Path):
    line = "gpu --batch 1 --rounds 1 --idle-clips 1 --utterance-s 1 --threads 1"
    found = run_bench(line, model=tiny_en_weights, data=SAMPLES)
    assert found["machine"]["model"] == "tiny.en"
    assert found["figures"]["folded.batch_1.rtfx"] > 0


def test_the_limits_of_a_shape_apply_to_a_gpu():
    rtfx, idle = checks("turbo", FOLDED, GPU)
    assert (rtfx.value, rtfx.ok) == (3_600, True)
    assert (idle.value, idle.ok) == (19, True)
    (large,) = checks("large-v3", FOLDED, GPU)
    assert large.limit == 2_000


@pytest.mark.parametrize(("shape", "device"), [("base", GPU), ("turbo", CPU)])
def test_other_shapes_and_processors_have_no_limits(shape: str, device: Device):
    assert not [*checks(shape, FOLDED, device)]


def test_a_batch_that_did_not_fit_into_memory_has_no_speed():
    assert FOLDED.best_rtfx == 3_600
    assert FoldModeSpeed("padded", {64: None}, None, ()).best_rtfx == 0
