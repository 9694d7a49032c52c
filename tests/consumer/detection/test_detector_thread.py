from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from builders import PARTITION, RATE, SEGMENTER, loud
from structlog.testing import capture_logs

from consumer.core.audio.utterance import Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest, VadState
from consumer.core.streams.records import SessionKey
from consumer.detection.detector_thread import DetectorThread

SPOKEN = "words of a publisher"
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


class Failing(Counting):
    """Raises for audio with a sample of 666."""

    def score(self, work: Sequence[tuple[Any, Int16Array]]) -> list[Float32Array]:
        if any(666 in samples for _, samples in work):
            raise ValueError(SPOKEN)
        return super().score(work)


def request(state: VadState, stream_id: str, *, fails: bool = False) -> ScoreRequest:
    key = SessionKey(PARTITION, stream_id, "0-0")
    return ScoreRequest(key, state, RATE, np.full(RATE, 666 if fails else 1, np.int16))


async def test_after_an_exception_in_a_call_no_scores_are_returned():
    async with DetectorThread(Failing()) as detector:
        scores = await detector.score(
            [request(VadState(), "good"), request(VadState(), "bad", fails=True)]
        )
    assert scores == [None, None]


async def test_a_request_that_is_alone_fails_alone_and_is_logged():
    good, bad = VadState(is_alone=True), VadState(is_alone=True)
    async with DetectorThread(Failing()) as detector:
        with capture_logs() as lines:
            both = [request(good, "good"), request(bad, "bad", fails=True)]
            found, failed = await detector.score(both)
    assert found is not None
    assert failed is None
    (line,) = lines
    assert (line["stream"], line["error"], line["log_level"]) == ("bad", "ValueError", "error")
    assert SPOKEN not in str(line)


async def test_a_state_that_has_failed_is_not_scored_again():
    scorer = Counting()
    async with DetectorThread(scorer) as detector:
        failed = VadState(is_alone=True, has_failed=True)
        assert await detector.score([request(failed, "bad")]) == [None]
    assert scorer.opened == []
