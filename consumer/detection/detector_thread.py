"""Run the speech detector on its own thread: on the model's, endpoints would wait for a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

import torch

from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest


class SpeechScorer(Protocol):
    """Scores speech for many streams in one call; used from one thread."""

    @property
    def segmenter(self) -> SegmenterConfig:
        """The settings of the segmenter that uses these scores."""

    def open(self, rate: int, before: Int16Array | None = None) -> Any:
        """Return a fresh detector for audio of `rate` Hz, after it has processed `before`."""

    def score(self, work: Sequence[tuple[Any, Int16Array]]) -> list[Float32Array]:
        """Push samples to each detector; return the probability of every complete window."""


class DetectorThread:
    """`consumer.interfaces.SpeechDetector` over a scorer. An asynchronous context manager."""

    def __init__(self, scorer: SpeechScorer) -> None:
        self._scorer = scorer
        # One thread for torch: a detector's matrix products are too small to be split.
        self._pool = ThreadPoolExecutor(1, "detector", torch.set_num_threads, (1,))

    async def __aenter__(self) -> Self:
        await self._run([])  # starts the thread
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        """Return the speech probability of every window that each request completes."""
        return await self._run(requests)

    async def _run(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._score, requests)

    def _score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        for request in requests:
            vad = request.vad
            if vad.detector is None:
                vad.detector, vad.lead_in = self._scorer.open(request.rate, vad.lead_in), None
        return self._scorer.score([(request.vad.detector, request.samples) for request in requests])
