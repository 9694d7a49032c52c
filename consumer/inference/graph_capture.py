"""Steps recorded once and replayed: on CUDA one launch in place of hundreds.

What a step does to which buffers hangs on its bucket alone: it works in place, and no shape in it
depends on a value. So one recording serves all steps of a bucket.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final, Protocol

import structlog
import torch

MOST: Final = 512  # buckets that are remembered

log = structlog.get_logger(__name__)


class DecodeStep(Protocol):
    @property
    def bucket(self) -> Hashable: ...

    def __call__(self) -> None: ...


class StepExecutor(Protocol):
    """How steps are done."""

    def run(self, step: DecodeStep) -> None: ...


class EagerExecutor:
    """Steps that just run: a processor has no launches to save."""

    def run(self, step: DecodeStep) -> None:
        step()


class GraphCache:
    """Records the second step of each bucket, and replays it from then on.

    The first one just runs: libraries set up what they need when it is first used, which may not
    be recorded; and a bucket that is met once is not worth it. A device that refuses its first
    recording gets all steps as they are.
    """

    def __init__(
        self, record: Callable[[Callable[[], None]], Callable[[], None]], most: int = MOST
    ) -> None:
        self._record = record
        self._most = most
        self._met: OrderedDict[Hashable, Callable[[], None] | None] = OrderedDict()
        self.recordings = 0  # that were made
        self._refused = False

    def run(self, step: DecodeStep) -> None:
        if self._refused:
            step()
            return
        bucket = step.bucket
        if bucket not in self._met:
            self._met[bucket] = None
            step()
        elif recorded := self._met[bucket] or self._recorded(step):
            self._met[bucket] = recorded
            recorded()
        else:
            step()
        self._met.move_to_end(bucket)
        if len(self._met) > self._most:
            self._met.popitem(last=False)

    def _recorded(self, step: DecodeStep) -> Callable[[], None] | None:
        """None: the device does not record."""
        try:
            recorded = self._record(step)
        except RuntimeError as error:
            if self.recordings:
                raise
            self._refused = True
            log.warning(
                "graph capture refused, steps run eagerly", error=str(error).partition("\n")[0]
            )
            return None
        self.recordings += 1
        return recorded


class CudaGraphs:
    """Records a step as a CUDA graph; not on the default stream.

    One pool for all: only one is replayed at a time, and what it leaves is in buffers outside.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        # Not `torch.cuda.graph`: it waits for the device, collects garbage and gives back cached
        # memory first, in the middle of a batch. Other threads may use the device meanwhile.
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
    return GraphCache(CudaGraphs()) if device.type == "cuda" else EagerExecutor()
