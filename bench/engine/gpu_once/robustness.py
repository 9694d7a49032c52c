"""What happens where the device's memory ends or a capture fails, and what the graphs take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch

from bench.engine.jobs import batch
from consumer.core.scheduling.capacity import CONTEXT, BatchLimits
from consumer.core.scheduling.jobs import DecodeRequest
from consumer.core.text.hypothesis import Hypothesis
from consumer.engine.transcriber_thread import TranscriberThread
from consumer.errors import OutOfMemory
from consumer.inference.checkpoint import Checkpoint
from consumer.inference.device import Device, usable_cores
from consumer.inference.graph_capture import CudaGraphs, EagerExecutor, GraphCache, StepExecutor
from consumer.inference.whisper_engine import WhisperTranscriber

Recorder: TypeAlias = Callable[[Callable[[], None]], Callable[[], None]]

_FEW: Final = 4  # rows of the engine whose memory ends
_SPARE_BYTES: Final = 256 * 2**20  # that it may take beyond its first batches
_TIMEOUT_S: Final = 25.0
_AT_WARM_UP: Final = BatchLimits(2, CONTEXT)
_ROWS: Final = (1, 2, 4, 8, 16, 24, 32, 48)
_RUNS: Final = 3  # of each batch: eager, recorded, replayed


def graph_memory(
    checkpoint: Checkpoint, device: Device, clips: Sequence[DecodeRequest]
) -> dict[str, Any]:
    """Decode batches of all numbers of rows; return the graphs, and the memory with and without."""
    found: dict[str, Any] = {}
    replays = GraphCache(_recorder(device))
    for name, steps in (("eager", EagerExecutor()), ("graphs", replays)):
        transcriber = _warm(checkpoint, device, steps, len(clips))
        before = _reserved_mb(device)
        for rows in sorted({rows for rows in _ROWS if rows < len(clips)} | {len(clips)}):
            for _ in range(_RUNS):
                transcriber.transcribe(clips[:rows])
        after = _reserved_mb(device)
        found |= {f"{name}.mb": after, f"{name}.grown_mb": after - before}
        del transcriber
    return found | {"recordings": replays.recordings}


def halved(
    checkpoint: Checkpoint, device: Device, clips: Sequence[DecodeRequest]
) -> dict[str, Any]:
    """Decode a batch for which the memory is too small; return the batches that were tried."""
    steps = GraphCache(_recorder(device))
    limits = BatchLimits(len(clips), 2**20)
    inner = WhisperTranscriber(checkpoint, device, fold=True, limits=limits, steps=steps)
    is_cuda = device.device.type == "cuda"
    model = _Counted(inner, fits=len(clips) if is_cuda else max(1, len(clips) // 2))
    inner.transcribe(clips[: min(_FEW, len(clips))])
    if is_cuda:
        total = torch.cuda.get_device_properties(device.device).total_memory
        most = torch.cuda.memory_reserved(device.device) + _SPARE_BYTES
        torch.cuda.set_per_process_memory_fraction(min(1.0, most / total), device.device)
    texts = asyncio.run(_decoded(model, clips))
    return {
        "rows": len(clips),
        "texts": texts,
        "out_of_memory": len(model.failed),
        "batches": ",".join(map(str, model.sizes)),
    }


async def _decoded(model: _Counted, clips: Sequence[DecodeRequest]) -> int:
    """Return how many clips of one batch have a text."""
    engine = TranscriberThread(model, threads=usable_cores(), timeout_s=_TIMEOUT_S)
    async with engine:
        model.sizes.clear()
        model.failed.clear()
        return sum(isinstance(reply, Hypothesis) for reply in await engine.transcribe(batch(clips)))


@dataclass(eq=False)
class _Counted:
    """A transcriber that notes the sizes of its batches; beyond `fits` rows it has no memory."""

    inner: WhisperTranscriber
    fits: int
    limits: BatchLimits = _AT_WARM_UP
    sizes: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.info = self.inner.info

    @property
    def languages(self) -> frozenset[str]:
        return self.inner.languages

    def warm_up(self) -> None:
        """Reserve nothing: buffers are to grow."""

    def transcribe(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        self.sizes.append(len(clips))
        try:
            return self._transcribed(clips)
        except OutOfMemory:
            self.failed.append(len(clips))
            raise

    def _transcribed(self, clips: Sequence[DecodeRequest]) -> list[Hypothesis]:
        if len(clips) > self.fits:
            raise OutOfMemory(f"{len(clips)} rows")
        return self.inner.transcribe(clips)


def bad_capture(
    checkpoint: Checkpoint, device: Device, clips: Sequence[DecodeRequest]
) -> dict[str, Any]:
    """Make the first capture fail; return whether texts stay the same, then and with new graphs."""
    expected = _texts(checkpoint, device, EagerExecutor(), clips)
    record = _recorder(device)
    refused = GraphCache(_failing(device, record))
    after_failure = _texts(checkpoint, device, refused, clips)
    again = GraphCache(record)
    after_success = _texts(checkpoint, device, again, clips)
    return {
        "recordings_refused": int(refused.recordings == 0),
        "texts_equal_after_failure": int(after_failure == expected),
        "recordings_afterwards": again.recordings,
        "texts_equal_afterwards": int(after_success == expected),
        "freed_mb": _freed_mb(device),
    }


def _failing(device: Device, record: Recorder) -> Recorder:
    """Return a recorder of steps that wait for the device, which no capture may."""

    def fail(step: Callable[[], None]) -> Callable[[], None]:
        def waits() -> None:
            step()
            torch.cuda.synchronize(device.device)

        if device.device.type == "cuda":
            return record(waits)
        raise RuntimeError("operation not permitted when stream is capturing")

    return fail


def _freed_mb(device: Device) -> float:
    """Return how much memory the allocator gives back: none while a capture is under way."""
    if device.device.type != "cuda":
        return 0.0
    block = torch.empty(_SPARE_BYTES, dtype=torch.uint8, device=device.device)
    del block
    before = _reserved_mb(device)
    torch.cuda.empty_cache()
    return before - _reserved_mb(device)


def _recorder(device: Device) -> Recorder:
    """Return what records a step; on a processor the step itself is its replay."""
    return CudaGraphs() if device.device.type == "cuda" else lambda step: step


def _texts(
    checkpoint: Checkpoint, device: Device, steps: StepExecutor, clips: Sequence[DecodeRequest]
) -> list[str]:
    transcriber = _warm(checkpoint, device, steps, len(clips))
    for _ in range(_RUNS - 1):
        transcriber.transcribe(clips)
    return [found.text for found in transcriber.transcribe(clips)]


def _warm(
    checkpoint: Checkpoint, device: Device, steps: StepExecutor, rows: int
) -> WhisperTranscriber:
    limits = BatchLimits(rows, device.limits.positions)
    transcriber = WhisperTranscriber(checkpoint, device, fold=True, limits=limits, steps=steps)
    transcriber.warm_up()
    return transcriber


def _reserved_mb(device: Device) -> float:
    if device.device.type != "cuda":
        return 0.0
    return torch.cuda.memory_reserved(device.device) / 1e6
