"""Capture decode steps once and replay them: on CUDA one launch instead of hundreds.

The bucket of a step determines its operations and buffers: a step works in place, and none of its
shapes depends on a value. So one recording serves all steps of a bucket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, Protocol

import structlog
import torch

MAX_BUCKETS: Final = 512  # in a cache

log = structlog.get_logger(__name__)


class DecodeStep(Protocol):
    """One step of a batch decode."""

    @property
    def bucket(self) -> Hashable:
        """The key of the step's operations and buffers."""

    def __call__(self) -> None: ...


class StepExecutor(Protocol):
    """Runs decode steps, possibly by replaying earlier ones of the same bucket."""

    def run(self, step: DecodeStep) -> None: ...


class EagerExecutor:
    """Runs every step as it is: on a CPU there are no launches to save."""

    def run(self, step: DecodeStep) -> None:
        step()


class GraphCache:
    """Records the second step of each bucket and replays it afterwards.

    The first step runs eagerly: libraries initialise themselves at first use, which cannot be
    recorded, and a bucket that occurs once is not worth a recording. The least recently used bucket
    is evicted. If the device refuses the first recording, all steps run eagerly.
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

    def run(self, step: DecodeStep) -> None:
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
            if self.recordings:
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

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # Not `torch.cuda.graph`, which first synchronises, collects garbage and empties the
        # allocator's cache, in the middle of a batch. Other threads may use the device meanwhile.
        graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
        try:
            step()
        except BaseException:
            with suppress(RuntimeError):
                graph.capture_end()
            raise
        graph.capture_end()
        return graph.replay


def executor_for(device: torch.device) -> StepExecutor:
    """Return the fastest executor on a device."""
    return GraphCache(CudaGraphs()) if device.type == "cuda" else EagerExecutor()
