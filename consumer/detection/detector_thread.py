"""Run the speech detector on its own thread: on the model's, endpoints would wait for a batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, Self

import structlog
import torch

from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest
from consumer.errors import where_raised

log = structlog.get_logger(__name__)


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

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array | None]:
        """Return the speech probability of every window that each request completes.

        All requests are scored in one call, but those that are to be alone.
        """
        return await self._run(requests)

    async def _run(self, requests: Sequence[ScoreRequest]) -> list[Float32Array | None]:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._score, requests)

    def _score(self, requests: Sequence[ScoreRequest]) -> list[Float32Array | None]:
        alone = [each for each in requests if each.vad.is_alone and not each.vad.has_failed]
        together = [each for each in requests if not each.vad.is_alone]
        scores: dict[ScoreRequest, Float32Array] = {}
        for call in (together, *([each] for each in alone)):
            scores |= zip(call, self._call(call), strict=False)
        return [scores.get(request) for request in requests]

    def _call(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        """Return the scores of the requests, or none after an unexpected exception."""
        try:
            return self._scores(requests)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 -- contained to one stream by a second call
            if requests[0].vad.is_alone:
                _log_failure(requests[0], error)
            return []

    def _scores(self, requests: Sequence[ScoreRequest]) -> list[Float32Array]:
        for request in requests:
            vad = request.vad
            if vad.detector is None:
                vad.detector = self._scorer.open(request.rate, vad.lead_in)
        return self._scorer.score([(each.vad.detector, each.samples) for each in requests])


def _log_failure(request: ScoreRequest, error: Exception) -> None:
    log.error(
        "speech detection failed",
        stream=request.session.stream_id,
        error=type(error).__name__,
        traceback=where_raised(error),
        action="the audio up to the next cut is taken for speech; report the traceback",
    )
