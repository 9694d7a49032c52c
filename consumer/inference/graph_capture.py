"""Capture decode steps once and replay them: on CUDA one launch instead of hundreds.

The bucket of a step determines its operations and buffers: a step works in place, and none of its
shapes depends on a value. So one recording serves all steps of a bucket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Protocol
from weakref import WeakSet

import structlog
import torch

from consumer.errors import OutOfMemory
from consumer.inference.device import classify

MAX_BUCKETS: Final = 128  # in a cache
_FEW_ROWS: Final = 16  # up to which a step takes as long as its weights are read

log = structlog.get_logger(__name__)


class DecodeStep(Protocol):
    """One step of a batch decode."""

    @property
    def bucket(self) -> Hashable:
        """The key of the step's operations and buffers."""

    def __call__(self) -> None: ...


class StepExecutor(Protocol):
    """Runs decode steps, possibly by replaying earlier ones of the same bucket."""

    def rows(self, count: int) -> int:
        """Return how many rows a step of `count` rows is to compute, at least as many."""

    def run(self, step: DecodeStep) -> None: ...


class EagerExecutor:
    """Runs every step as it is: on a CPU there are no launches to save."""

    def rows(self, count: int) -> int:
        return count

    def run(self, step: DecodeStep) -> None:
        step()


class GraphCache:
    """Records the second step of each bucket and replays it afterwards.

    The first step runs eagerly: libraries initialise themselves at first use, which cannot be
    recorded, and a bucket that occurs once is not worth a recording. The least recently used bucket
    is evicted. If the device refuses the first recording, all steps run eagerly; if it runs out of
    memory, all recordings are dropped, whose memory a smaller batch may need.
    """

    def __init__(
        self,
        record: Callable[[Callable[[], None]], Callable[[], None]],
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._record = record
        self._max_buckets = max_buckets
        self._replays: OrderedDict[Hashable, Callable[[], None] | None] = OrderedDict()
        self.recordings = 0  # made so far
        self._is_refused = False

    def rows(self, count: int) -> int:
        return count if self._is_refused else graph_rows(count)

    def run(self, step: DecodeStep) -> None:
        """Run a step. Raises `OutOfMemory`."""
        try:
            self._run(step)
        except RuntimeError as error:
            if not isinstance(known := classify(error), OutOfMemory):
                raise
            self._replays.clear()
            raise known from error

    def _run(self, step: DecodeStep) -> None:
        if self._is_refused:
            step()
            return
        bucket = step.bucket
        if bucket not in self._replays:
            self._replays[bucket] = None
            step()
        elif replay := self._replays[bucket] or self._recorded(step):
            self._replays[bucket] = replay
            replay()
        else:
            step()
        self._replays.move_to_end(bucket)
        if len(self._replays) > self._max_buckets:
            self._replays.popitem(last=False)

    def _recorded(self, step: DecodeStep) -> Callable[[], None] | None:
        """Record the step; return its replay, or None if the device refuses the first recording."""
        try:
            recorded = self._record(step)
        except RuntimeError as error:
            if self.recordings or isinstance(classify(error), OutOfMemory):
                raise
            self._is_refused = True
            log.warning(
                "graph capture refused, steps run eagerly", error=str(error).partition("\n")[0]
            )
            return None
        self.recordings += 1
        return recorded


class CudaGraphs:
    """Records a step as a CUDA graph. The current stream must not be the default one.

    All graphs share a memory pool: only one is replayed at a time, and its results are in buffers
    outside the pool.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: WeakSet[torch.cuda.CUDAGraph] = WeakSet()  # in use
        self._failed: list[torch.cuda.CUDAGraph] = []  # the allocators may keep pointers to them

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        if not self._graphs:  # torch's allocator accepts no pool again that no graph uses
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        try:
            # Not `torch.cuda.graph`, which first synchronises, collects garbage and empties the
            # allocator's cache, in the middle of a batch. Other threads may use the device.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            step()
            graph.capture_end()
        except BaseException:
            self._abandon(graph)
            raise
        self._graphs.add(graph)
        return graph.replay

    def _abandon(self, graph: torch.cuda.CUDAGraph) -> None:
        """End a capture that failed.

        `capture_end` raises before it ends the allocation from the pool if the capture is invalid.
        The allocator would then use the pool for what is not captured, and never free memory.
        """
        end_allocation, release = torch._C._cuda_endAllocateToPool, torch._C._cuda_releasePool  # noqa: SLF001 -- as torch.cuda.memory.use_mem_pool does; no public form
        try:
            graph.capture_end()
        except RuntimeError:
            self._failed.append(graph)
            device = torch.cuda.current_device()
            try:
                end_allocation(device, self._pool)
            except RuntimeError:
                return  # it was ended: only what follows failed
            release(device, self._pool)


def graph_rows(count: int) -> int:
    """Round up to 1, 2, 4, 8, 16, 24, 32, 48, 64 ...: above 16, at most a third is unused.

    Each number of rows costs graphs, one for each length of the audio and of the text.
    """
    power = 1 << (count - 1).bit_length()
    between = 3 * power // 4
    return between if _FEW_ROWS < count <= between else power


def executor_for(device: torch.device) -> StepExecutor:
    """Return the fastest executor on a device."""
    return GraphCache(CudaGraphs()) if device.type == "cuda" else EagerExecutor()
