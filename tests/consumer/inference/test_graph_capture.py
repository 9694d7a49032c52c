from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from small_whisper import CPU, DIMS

from bench.shapes import random_checkpoint
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import FallbackStep
from consumer.inference.graph_capture import EagerExecutor, GraphCache, StepExecutor
from consumer.inference.whisper_engine import WhisperTranscriber


@dataclass
class Note:
    """A step that notes its name."""

    notes: list[str]
    name: str
    bucket: str = "b"

    def __call__(self) -> None:
        self.notes.append(self.name)


def as_recorded(step: Callable[[], None]) -> Callable[[], None]:
    """What a graph is: the step that was recorded, over its own buffers, whoever asks."""
    return step


def refused(step: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("CUDA error: not permitted\nCompile with ...")


def test_the_second_step_of_a_bucket_is_recorded_and_done_from_then_on():
    notes: list[str] = []
    steps = GraphCache(as_recorded)
    for name in ("first", "second", "third"):
        steps.run(Note(notes, name))
    assert notes == ["first", "second", "second"]
    assert steps.recordings == 1


def test_each_bucket_has_its_own():
    notes: list[str] = []
    steps = GraphCache(as_recorded)
    for name in ("a1", "b1", "a2", "b2", "a3", "b3"):
        steps.run(Note(notes, name, bucket=name[0]))
    assert notes == ["a1", "b1", "a2", "b2", "a2", "b2"]


def test_the_bucket_met_longest_ago_is_forgotten():
    notes: list[str] = []
    steps = GraphCache(as_recorded, most=2)
    for name in ("a1", "a2", "b1", "a3", "c1", "a4", "b2", "b3"):
        steps.run(Note(notes, name, bucket=name[0]))
    assert notes == ["a1", "a2", "b1", "a2", "c1", "a2", "b2", "b3"]


def test_a_device_that_records_nothing_does_each_step_as_it_is(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    notes: list[str] = []
    steps = GraphCache(refused)
    for name in ("first", "second", "third"):
        steps.run(Note(notes, name))
    assert notes == ["first", "second", "third"]
    told = capsys.readouterr().out + caplog.text
    assert told.count("graph capture refused") == 1
    assert "not permitted" in told


def test_a_device_that_has_recorded_before_and_fails_is_not_well():
    def once(step: Callable[[], None]) -> Callable[[], None]:
        return refused(step) if steps.recordings else step

    steps = GraphCache(once)
    for name in ("a1", "a2", "b1"):
        steps.run(Note([], name, bucket=name[0]))
    with pytest.raises(RuntimeError):
        steps.run(Note([], "b2", bucket="b"))


def engine(steps: StepExecutor) -> WhisperTranscriber:
    """Its texts end at a position: those with a longer prompt earlier, so rows leave in turn."""
    dims = replace(DIMS, n_text_ctx=96)
    checkpoint = random_checkpoint("small", dims, 40, CPU.device, CPU.dtype)
    twice = (
        FallbackStep(folded=True, temperatures=(0.0,)),
        FallbackStep(folded=True, temperatures=(0.5,)),
    )
    return WhisperTranscriber(checkpoint, CPU, fold=True, attempts=twice, max_rows=6, steps=steps)


def batches() -> list[list[DecodeRequest]]:
    """Batches that shrink and grow, of clips with unlike lengths and prompts."""
    random = np.random.default_rng(5)

    def clip(at: int) -> DecodeRequest:
        samples = random.standard_normal(4_000 + 9_000 * (at % 4), np.float32)
        return DecodeRequest(samples, ("en",), prompt="a " * (at % 5), words=at % 3 == 0)

    return [[clip(at) for at in range(size)] for size in (6, 2, 5)]


def test_replays_write_what_the_steps_as_they_are_write():
    """So a step knows its buffers, and no value, of the batch that it was recorded in."""
    replays = GraphCache(as_recorded)
    replaying, plain = engine(replays), engine(EagerExecutor())
    wanted = [plain.transcribe(batch) for batch in batches()]
    recordings = []
    for _ in range(4):
        assert [replaying.transcribe(batch) for batch in batches()] == wanted
        recordings.append(replays.recordings)
    assert recordings[0] > 10
    assert recordings[2] == recordings[3]
