"""Behaviour that needs a GPU: graph capture, streams, and steps without synchronisation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from consumer.core.scheduling.jobs import DecodeRequest
from consumer.errors import OutOfMemory
from consumer.inference import checkpoint
from consumer.inference.device import Device, choose, device_errors
from consumer.inference.graph_capture import (
    CudaGraphs,
    DecodeStep,
    EagerExecutor,
    GraphCache,
    StepExecutor,
)
from consumer.inference.whisper_engine import WhisperTranscriber

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    # Once a process, from the first call of `set_sync_debug_mode`.
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
]

SAMPLES = Path(__file__).parents[3] / "samples"


def speech() -> list[DecodeRequest]:
    rows = (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()
    return [_clip(**json.loads(row)) for row in rows]


def _clip(file: str, lang: str, **_: object) -> DecodeRequest:
    samples, rate = soundfile.read(SAMPLES / file, dtype="float32")
    return DecodeRequest(
        soxr.resample(samples, rate, 16_000).astype(np.float32), (lang,), words=True
    )


def texts(weights: Path, device: Device, steps: StepExecutor | None = None) -> list[str]:
    engine = WhisperTranscriber(checkpoint.load(weights), device, fold=True, steps=steps)
    engine.warm_up()
    clips = speech()
    engine.transcribe(clips)
    return [hypothesis.text for hypothesis in engine.transcribe(clips)]


@contextmanager
def synchronisation_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class WithoutSynchronisation:
    """Runs steps, which fail if they synchronise with the device."""

    def rows(self, count: int) -> int:
        return count

    def run(self, step: DecodeStep) -> None:
        with synchronisation_is_an_error():
            step()


def test_texts_in_fp32_equal_those_of_the_cpu(base_weights: Path):
    assert texts(base_weights, choose("cuda", "fp32")) == texts(base_weights, choose("cpu", "fp32"))


def test_replayed_steps_write_the_same_texts(base_weights: Path):
    replays = GraphCache(CudaGraphs())
    recorded = texts(base_weights, choose("cuda"), replays)
    assert replays.recordings > 0
    assert recorded == texts(base_weights, choose("cuda"), EagerExecutor())


def test_no_step_synchronises_with_the_device(base_weights: Path):
    assert all(texts(base_weights, choose("cuda"), WithoutSynchronisation()))


def test_an_allocation_above_the_memory_is_out_of_memory():
    free, _ = torch.cuda.mem_get_info()
    with pytest.raises(OutOfMemory), device_errors():
        torch.empty(2 * free, dtype=torch.uint8, device="cuda")
