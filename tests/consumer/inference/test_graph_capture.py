from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_whisper import CPU, DIMS

from bench.engine.shapes import random_checkpoint
from consumer.core.scheduling.capacity import BatchLimits, positions
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.fallback import FallbackStep
from consumer.errors import OutOfMemory
from consumer.inference.clip_encoder import _CACHE_STEP
from consumer.inference.decode import _COLUMN_BUCKET
from consumer.inference.fold import bucket
from consumer.inference.graph_capture import (
    MAX_BUCKETS,
    CudaGraphs,
    EagerExecutor,
    GraphCache,
    StepExecutor,
    graph_rows,
)
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


def out_of_memory(step: Callable[[], None]) -> Callable[[], None]:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def test_a_first_recording_without_memory_is_out_of_memory_and_refuses_no_other():
    notes: list[str] = []
    recorders = iter([out_of_memory, as_recorded])

    def record(step: Callable[[], None]) -> Callable[[], None]:
        return next(recorders)(step)

    steps = GraphCache(record)
    steps.run(NamedStep(notes, "a1"))
    with pytest.raises(OutOfMemory):
        steps.run(NamedStep(notes, "a2"))
    for name in ("a3", "a4", "a5"):
        steps.run(NamedStep(notes, name))
    assert notes == ["a1", "a3", "a4", "a4"]


def test_recordings_are_dropped_when_a_step_runs_out_of_memory():
    notes: list[str] = []
    steps = GraphCache(as_recorded)
    for name in ("a1", "a2", "a3"):
        steps.run(NamedStep(notes, name, bucket="a"))

    class Greedy(NamedStep):
        def __call__(self) -> None:
            out_of_memory(lambda: None)

    with pytest.raises(OutOfMemory):
        steps.run(Greedy(notes, "b1", bucket="b"))
    steps.run(NamedStep(notes, "a4", bucket="a"))
    assert notes == ["a1", "a2", "a2", "a4"]


# --- captures on a device, whose graphs and allocator are doubles


class FakeAllocator:
    """The pools that allocate: torch's allocator, whose bookkeeping a failed capture leaves."""

    capturing: FakeGraph

    def __init__(self) -> None:
        self.recording: list[int] = []
        self.uses: dict[int, int] = {}

    def begin(self, pool: int) -> None:
        assert self.uses.get(pool) != 0, "a pool that no graph uses is gone for good"
        assert pool not in self.recording
        self.recording.append(pool)
        self.uses[pool] = self.uses.get(pool, 0) + 1

    def end(self, _: int, pool: int) -> None:
        if pool not in self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording.remove(pool)

    def release(self, _: int, pool: int) -> None:
        self.uses[pool] -= 1


class FakeGraph:
    """A graph as torch's: `capture_end` of an invalid capture raises before all else."""

    allocator: FakeAllocator
    fails_at_end = False

    def capture_begin(self, pool: int, capture_error_mode: str) -> None:
        assert capture_error_mode == "thread_local"
        self.pool, self.is_capturing = pool, True
        self.is_valid = True
        self.allocator.begin(pool)
        self.allocator.capturing = self

    def capture_end(self) -> None:
        if not self.is_capturing or not self.is_valid:
            self.is_capturing = False
            raise RuntimeError("CUDA error: operation failed due to a previous error")
        self.is_capturing = False
        del self.allocator.capturing
        self.allocator.end(0, self.pool)
        if self.fails_at_end:
            raise RuntimeError("CUDA error: out of memory")

    def replay(self) -> None: ...


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> FakeAllocator:
    allocator, pools = FakeAllocator(), iter(range(100))
    graph = type("Graph", (FakeGraph,), {"allocator": allocator})
    monkeypatch.setattr(torch.cuda, "CUDAGraph", graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: next(pools))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", allocator.end)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", allocator.release)
    return allocator


def invalid_step(graphs: CudaGraphs, allocator: FakeAllocator) -> None:
    def step() -> None:
        allocator.capturing.is_valid = False
        raise RuntimeError("operation not permitted when stream is capturing")

    with pytest.raises(RuntimeError, match="not permitted"):
        graphs(step)


def test_an_invalid_capture_ends_its_allocation_and_the_next_one_works(allocator: FakeAllocator):
    graphs = CudaGraphs()
    invalid_step(graphs, allocator)
    assert allocator.recording == []
    assert set(allocator.uses.values()) == {0}
    graphs(lambda: None)
    assert allocator.recording == []


def test_a_capture_that_fails_after_its_end_is_ended_once(
    allocator: FakeAllocator, monkeypatch: pytest.MonkeyPatch
):
    graphs = CudaGraphs()
    monkeypatch.setattr(FakeGraph, "fails_at_end", True)
    with pytest.raises(RuntimeError, match="out of memory"):
        graphs(lambda: None)
    assert (allocator.recording, allocator.uses) == ([], {1: 1})


def test_graphs_share_a_pool_until_all_of_them_are_dropped(allocator: FakeAllocator):
    graphs = CudaGraphs()
    replays = [graphs(lambda: None), graphs(lambda: None)]
    (pool,) = allocator.uses
    assert allocator.uses == {pool: 2}
    replays.clear()
    gc.collect()
    replays.append(graphs(lambda: None))
    assert allocator.uses == {pool: 2, pool + 1: 1}


# --- few buckets


@given(st.integers(1, 4096))
def test_a_step_computes_at_least_its_rows_and_few_more(count: int):
    rows = graph_rows(count)
    assert count <= rows < 2 * count or rows == count
    assert count <= 16 or rows <= 1.5 * count
    assert graph_rows(rows) == rows


def test_live_speech_needs_few_graphs():
    """Batches of every size up to the limit, of speech of 1 to 15 s and up to 60 tokens."""
    rows = {graph_rows(count) for count in range(1, 65)}
    lengths = {bucket(positions(s), _CACHE_STEP["cuda"]) for s in range(1, 16)}
    widths = {-(-(4 + tokens) // _COLUMN_BUCKET["cuda"]) for tokens in range(1, 61)}
    assert len(rows) * len(lengths) * len(widths) <= MAX_BUCKETS


def engine(steps: StepExecutor) -> WhisperTranscriber:
    """Return a model whose texts end at a position, so rows with long prompts leave first."""
    dims = replace(DIMS, n_text_ctx=96)
    checkpoint = random_checkpoint("small", dims, 40, CPU.device, CPU.dtype)
    twice = (
        FallbackStep(folded=True, temperatures=(0.0,)),
        FallbackStep(folded=True, temperatures=(0.5,)),
    )
    return WhisperTranscriber(
        checkpoint, CPU, fold=True, attempts=twice, limits=BatchLimits(6, 8192), steps=steps
    )


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


def test_a_smaller_batch_first_changes_no_buffer():
    """Recordings made before the largest batch are replayed after it: `warm_up` reserves all."""
    replays = GraphCache(as_recorded)
    replaying = engine(replays)
    replaying.warm_up()
    large, small, _ = batches()
    for _ in range(3):
        replaying.transcribe(small)
    recordings = replays.recordings
    replaying.transcribe(large)
    replaying.transcribe(large)
    later = replays.recordings
    assert later > recordings
    replaying.transcribe(small)
    assert replays.recordings == later
