"""How many live streams one engine serves in time: planner and engine, without Kafka.

Each stream speaks 45 % of the time, in utterances of one length that end at random moments. The
wait counts from the end of an utterance to its text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bench.engine.jobs import job
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from consumer.core.scheduling.capacity import limited, measured_budget
from consumer.core.scheduling.planner import Planner
from consumer.engine.transcriber_thread import Transcriber, TranscriberThread
from consumer.inference.device import usable_cores
from evaluation.percentiles import percentile

MAX_P95_S: Final = 0.5
_TALK: Final = 0.45  # share of the time that a stream speaks
_WITHIN_S: Final = 0.5  # deadline of a final
_TIMEOUT_S: Final = 30.0
_SEED: Final = 4


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """The numbers of streams to try, ascending, each for `seconds`."""

    streams: Sequence[int]
    seconds: float
    utterance_s: float

    def arrivals(self, streams: int) -> list[float]:
        """Return when utterances end, in seconds; one at least."""
        rng = np.random.default_rng(_SEED)
        count = max(1, round(streams * _TALK / self.utterance_s * self.seconds))
        return sorted(rng.uniform(0, self.seconds, count).tolist())


def measured(transcriber: Transcriber, load: StreamLoad) -> dict[str, Any]:
    """Return the waits at each number of streams, until one is too long."""
    return asyncio.run(_measured(transcriber, load))


async def _measured(transcriber: Transcriber, load: StreamLoad) -> dict[str, Any]:
    engine = TranscriberThread(transcriber, threads=usable_cores(), timeout_s=_TIMEOUT_S)
    found: dict[str, Any] = {"most_streams": 0}
    noise = np.random.default_rng(_SEED).normal(0, 1600, int(load.utterance_s * WHISPER_RATE))
    samples = noise.astype(np.int16)
    async with engine:
        limits = transcriber.limits
        budget = measured_budget(*engine.timings, rows=limits.rows)
        for streams in load.streams:
            planner = Planner(limited(budget, limits, folded=transcriber.info.fold))
            waits = await _served(engine, planner, samples, load.arrivals(streams))
            p95 = percentile(waits, 0.95) or 0.0
            found |= {f"{streams}.p50_s": percentile(waits, 0.5), f"{streams}.p95_s": p95}
            if p95 > MAX_P95_S:
                break
            found["most_streams"] = streams
    return found


async def _served(
    engine: TranscriberThread, planner: Planner, samples: Int16Array, arrivals: Sequence[float]
) -> list[float]:
    """Decode the utterances as they end; return how long each waited for its text, in seconds."""
    waits: list[float] = []
    begun, coming = time.monotonic(), list(enumerate(arrivals))
    while coming or len(planner):
        now = time.monotonic() - begun
        while coming and coming[0][1] <= now:
            number, ended = coming.pop(0)
            planner.add([job(samples, number, ended, _WITHIN_S)])
        if (batch := planner.take(now)) is None:
            await asyncio.sleep(max(0.0, coming[0][1] - now))
            continue
        await engine.transcribe(batch)
        now = time.monotonic() - begun
        waits += [now - each.closed_at for each in batch.jobs]
    return waits
