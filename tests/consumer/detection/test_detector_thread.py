from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from builders import PARTITION, RATE, SEGMENTER, loud

from consumer.core.audio.utterance import Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest, VadState
from consumer.core.streams.records import SessionKey
from consumer.detection.detector_thread import DetectorThread

KEY = SessionKey(PARTITION, "s", "0-0")


class Counting:
    """A scorer whose detectors count their samples."""

    segmenter = SEGMENTER

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.threads: set[str] = set()

    def open(self, rate: int, before: Int16Array | None = None) -> list[int]:
        self.opened.append(rate)
        return [0 if before is None else len(before)]

    def score(self, work: Sequence[tuple[Any, Int16Array]]) -> list[Float32Array]:
        self.threads.add(threading.current_thread().name)
        for detector, samples in work:
            detector[0] += len(samples)
        return [np.array(detector, np.float32) for detector, _ in work]


async def test_the_detector_runs_on_its_own_thread():
    scorer = Counting()
    async with DetectorThread(scorer) as detector:
        for _ in range(3):
            await detector.score([ScoreRequest(KEY, VadState(), RATE, loud(0.1))])
    assert len(scorer.threads) == 1
    assert threading.current_thread().name not in scorer.threads


async def test_each_state_has_a_detector_of_its_own():
    scorer, one, other = Counting(), VadState(), VadState()
    async with DetectorThread(scorer) as detector:
        first = ScoreRequest(KEY, one, 8_000, loud(0.1, 8_000))
        second = ScoreRequest(KEY, other, RATE, loud(0.1))
        assert [s.tolist() for s in await detector.score([first, second])] == [[800], [1600]]
        assert [s.tolist() for s in await detector.score([second, first])] == [[3200], [1600]]
    assert scorer.opened == [8_000, 16_000]
    assert one.detector is not other.detector


async def test_the_lead_in_is_processed_first_and_not_scored():
    state = VadState(lead_in=loud(0.2))
    async with DetectorThread(Counting()) as detector:
        (scores,) = await detector.score([ScoreRequest(KEY, state, RATE, loud(0.1))])
    assert scores.tolist() == [4_800]
    assert state.lead_in is None
