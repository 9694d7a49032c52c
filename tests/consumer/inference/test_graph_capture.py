from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from small_whisper import CPU, DIMS

from bench.engine.shapes import random_checkpoint
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import FallbackStep
from consumer.inference.graph_capture import EagerExecutor, GraphCache, StepExecutor
from consumer.inference.whisper_engine import WhisperTranscriber

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class NamedStep:
    """A step that appends its name to a list."""

    notes: list[str]
    name: str
    bucket: str = "b"

    def __call__(self) -> None:
        self.notes.append(self.name)


def as_recorded(step: Callable[[], None]) -> Callable[[], None]:
    """Return a replay of the recorded step, as a CUDA graph is."""
    return step


def fail_to_record(step: Callable[[], None]) -> Callable[[], None]:
    raise RuntimeError("CUDA error: not permitted\nCompile with ...")


def test_the_second_step_of_a_bucket_is_recorded_and_replayed():
    notes: list[str] = []
    steps = GraphCache(as_recorded)
    for name in ("first", "second", "third"):
        steps.run(NamedStep(notes, name))
    assert notes == ["first", "second", "second"]
    assert steps.recordings == 1


def test_each_bucket_has_its_own_recording():
    notes: list[str] = []
    steps = GraphCache(as_recorded)
    for name in ("a1", "b1", "a2", "b2", "a3", "b3"):
        steps.run(NamedStep(notes, name, bucket=name[0]))
    assert notes == ["a1", "b1", "a2", "b2", "a2", "b2"]


def test_the_least_recently_used_bucket_is_evicted():
    notes: list[str] = []
    steps = GraphCache(as_recorded, max_buckets=2)
    for name in ("a1", "a2", "b1", "a3", "c1", "a4", "b2", "b3"):
        steps.run(NamedStep(notes, name, bucket=name[0]))
    assert notes == ["a1", "a2", "b1", "a2", "c1", "a2", "b2", "b3"]


def test_steps_run_eagerly_if_the_first_recording_fails(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    notes: list[str] = []
    steps = GraphCache(fail_to_record)
    for name in ("first", "second", "third"):
        steps.run(NamedStep(notes, name))
    assert notes == ["first", "second", "third"]
    logged = capsys.readouterr().out + caplog.text
    assert logged.count("graph capture refused") == 1
    assert "not permitted" in logged


def test_a_recording_that_fails_later_raises():
    def once(step: Callable[[], None]) -> Callable[[], None]:
        return fail_to_record(step) if steps.recordings else step

    steps = GraphCache(once)
    for name in ("a1", "a2", "b1"):
        steps.run(NamedStep([], name, bucket=name[0]))
    with pytest.raises(RuntimeError):
        steps.run(NamedStep([], "b2", bucket="b"))


def engine(steps: StepExecutor) -> WhisperTranscriber:
    """Return a model whose texts end at a position, so rows with long prompts leave first."""
    dims = replace(DIMS, n_text_ctx=96)
    checkpoint = random_checkpoint("small", dims, 40, CPU.device, CPU.dtype)
    twice = (
        FallbackStep(folded=True, temperatures=(0.0,)),
        FallbackStep(folded=True, temperatures=(0.5,)),
    )
    return WhisperTranscriber(checkpoint, CPU, fold=True, attempts=twice, max_rows=6, steps=steps)


def batches() -> list[list[DecodeRequest]]:
    """Return batches of varying size, of clips with varying lengths and prompts."""
    random = np.random.default_rng(5)

    def clip(at: int) -> DecodeRequest:
        samples = random.standard_normal(4_000 + 9_000 * (at % 4), np.float32)
        return DecodeRequest(samples, ("en",), prompt="a " * (at % 5), words=at % 3 == 0)

    return [[clip(at) for at in range(size)] for size in (6, 2, 5)]


def test_replays_write_the_same_texts_as_eager_steps():
    """A recording depends on the buffers, and on no value, of the batch that it was made in."""
    replays = GraphCache(as_recorded)
    replaying, plain = engine(replays), engine(EagerExecutor())
    wanted = [plain.transcribe(batch) for batch in batches()]
    recordings = []
    for _ in range(4):
        assert [replaying.transcribe(batch) for batch in batches()] == wanted
        recordings.append(replays.recordings)
    assert recordings[0] > 10
    assert recordings[2] == recordings[3]
