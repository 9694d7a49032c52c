"""Engines in processes of their own, so that memory and threads are their own too.

Processes live side by side, but only one works at a time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context

from bench.engine.engines.catalog import ClipEngine, EngineText, Variant, Weights, keep_quiet
from bench.engine.memory import Resident, resident
from bench.framework import Advance, BenchContext
from bench.quality.recordings import Recording, batches
from consumer.core.audio.utterance import Float32Array

_loaded: list[ClipEngine] = []  # the one engine of this process


@dataclass(frozen=True, slots=True)
class Timed:
    """What an engine wrote, and how long it took."""

    wall_s: float
    texts: tuple[EngineText, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """Clips that one engine transcribes in their order, `batch` in one call."""

    variant: Variant
    clips: Sequence[Recording]
    batch: int
    words: bool = False

    @property
    def audio_s(self) -> float:
        return sum(clip.seconds for clip in self.clips)


@dataclass(frozen=True, slots=True)
class EngineWorker:
    """One engine, loaded in its executor."""

    executor: Executor

    def transcribe(self, batch: Sequence[Recording], *, words: bool) -> Timed:
        """Call the engine once; only its own work is timed."""
        clips = [clip.samples for clip in batch]
        languages = [clip.language for clip in batch]
        return self.executor.submit(_transcribe, clips, languages, words=words).result()

    def run(self, work: Pass, advance: Advance) -> Timed:
        wall_s = 0.0
        texts: list[EngineText] = []
        for batch in batches(work.clips, work.batch):
            timed = self.transcribe(batch, words=work.words)
            wall_s += timed.wall_s
            texts += timed.texts
            advance(sum(clip.seconds for clip in batch), work.variant.name)
        return Timed(wall_s, tuple(texts))

    def resident(self) -> Resident:
        return self.executor.submit(resident).result()


@dataclass(frozen=True, slots=True)
class EngineRunner:
    """What all engines of one bench share."""

    context: BenchContext
    weights: Weights
    executor: Callable[[], Executor]  # makes one for an engine to live in

    @contextmanager
    def start(self, variant: Variant) -> Iterator[EngineWorker]:
        """Load an engine; end its executor on leaving."""
        with self.executor() as executor:
            executor.submit(_load, variant, self.weights).result()
            yield EngineWorker(executor)

    def run(self, passes: Sequence[Pass]) -> list[tuple[EngineText, ...]]:
        """Return the texts of each pass; successive passes of one engine share its process."""
        texts = []
        with self.context.progress(total_s(passes)) as advance:
            for variant, group in groupby(passes, lambda work: work.variant):
                with self.start(variant) as worker:
                    texts += [worker.run(work, advance).texts for work in group]
        return texts


def total_s(passes: Iterable[Pass]) -> float:
    """Return the seconds of audio in all passes."""
    return sum(work.audio_s for work in passes)


def own_process(threads: int) -> Executor:
    """Return an executor of one new process; `threads`: of one product."""
    context = get_context("spawn")
    return ProcessPoolExecutor(1, context, initializer=_prepare, initargs=(threads,))


def _prepare(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    os.environ |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    keep_quiet()
    import torch

    torch.set_num_threads(threads)


def _load(variant: Variant, weights: Weights) -> None:
    _loaded[:] = [variant.engine(weights)]


def _transcribe(clips: list[Float32Array], languages: list[str], *, words: bool) -> Timed:
    started = time.perf_counter()
    texts = _loaded[0].transcribe(clips, languages, words=words)
    return Timed(time.perf_counter() - started, tuple(texts))
