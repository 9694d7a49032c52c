"""An engine in a process of its own, so that memory and threads are its own too.

Workers live side by side, but the caller lets only one work at a time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from bench.engines.catalog import Engine, Heard, Variant, Weights, keep_quiet
from bench.memory import Resident, resident
from bench.progress import Advance
from bench.recordings import Recording, batches
from consumer.core.audio.utterance import Float32Array

_loaded: list[Engine] = []  # of a worker's own process


@dataclass(frozen=True, slots=True)
class Timed:
    """What an engine wrote, and how long it took."""

    wall_s: float
    heard: tuple[Heard, ...]


class Worker:
    """One engine, loaded; close it by leaving its context."""

    def __init__(self, variant: Variant, weights: Weights, threads: int) -> None:
        self.variant = variant
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        try:
            self._pool.submit(_load, variant, weights, threads).result()
        except BaseException:
            self._pool.shutdown()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def transcribe(self, batch: Sequence[Recording], *, words: bool) -> Timed:
        """One call of the engine; only the engine's own work is timed."""
        clips = [clip.samples for clip in batch]
        languages = [clip.language for clip in batch]
        return self._pool.submit(_transcribe, clips, languages, words=words).result()

    def resident(self) -> Resident:
        return self._pool.submit(resident).result()


def _load(variant: Variant, weights: Weights, threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    os.environ |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    keep_quiet()
    import torch

    torch.set_num_threads(threads)
    _loaded.append(variant.engine(weights))


def _transcribe(clips: list[Float32Array], languages: list[str], *, words: bool) -> Timed:
    begun = time.perf_counter()
    heard = _loaded[0].transcribe(clips, languages, words=words)
    return Timed(time.perf_counter() - begun, tuple(heard))


@dataclass(frozen=True, slots=True)
class Stand:
    """Where engines are tried: what all of them get, and who is told how far it is."""

    weights: Weights
    threads: int  # of one product
    advance: Advance

    def worker(self, variant: Variant) -> Worker:
        return Worker(variant, self.weights, self.threads)

    def run(
        self, worker: Worker, clips: Sequence[Recording], size: int, *, words: bool = False
    ) -> Timed:
        """Clips in their order, `size` in one call."""
        wall_s = 0.0
        heard: list[Heard] = []
        for batch in batches(clips, size):
            timed = worker.transcribe(batch, words=words)
            wall_s += timed.wall_s
            heard += timed.heard
            self.advance(sum(clip.seconds for clip in batch), worker.variant.name)
        return Timed(wall_s, tuple(heard))

    def heard(
        self, variant: Variant, *work: tuple[Sequence[Recording], int], words: bool = False
    ) -> list[tuple[Heard, ...]]:
        """What an engine, loaded for this alone, writes for each (clips, batch size)."""
        with self.worker(variant) as worker:
            return [self.run(worker, clips, size, words=words).heard for clips, size in work]
