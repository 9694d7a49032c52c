"""Recordings are cut as a stream of the worker is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stream_harness import OneStream

from bench.quality.cutting import utterance_lengths, utterances
from bench.quality.recordings import read
from consumer.core.audio.segmenter import SegmenterConfig
from consumer.core.audio.utterance import EndReason, Float32Array, Int16Array
from consumer.core.streams.entries import ScoreRequest
from consumer.detection import cascade
from consumer.detection.detector_thread import SpeechScorer
from consumer.settings import Detector
from evaluation.samples import SAMPLES

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class ShortUtterances:
    """The default scorer, with utterances of at most 4 s, so that most cuts are forced."""

    scorer: SpeechScorer

    @property
    def segmenter(self) -> SegmenterConfig:
        return replace(self.scorer.segmenter, max_utterance_ms=4_000)

    def open(self, rate: int, before: Int16Array | None = None) -> Any:
        return self.scorer.open(rate, before)

    def score(self, work: Any) -> list[Float32Array]:
        return self.scorer.score(work)

    def score_request(self, request: ScoreRequest) -> Float32Array:
        vad = request.vad
        if vad.detector is None:
            vad.detector, vad.lead_in = self.open(request.rate, vad.lead_in), None
        return self.score([(vad.detector, request.samples)])[0]


def test_a_recording_is_cut_as_a_stream_of_the_worker_is():
    scorer = ShortUtterances(cascade.load(Detector.CASCADE))
    samples = read(SAMPLES / "en_ljspeech.flac")
    stream = OneStream(segmenter=scorer.segmenter, score=scorer.score_request)
    stream.speak(samples)
    stream.send(np.zeros(0, np.int16), end=True)
    found = [*utterances(samples, scorer)]
    assert [each.end_reason for each in found].count(EndReason.MAX_LENGTH) > 1
    assert [(each.start, each.end, each.end_reason) for each in found] == [
        (each.start, each.end, each.end_reason) for each in stream.utterances
    ]
    for one, other in zip(found, stream.utterances, strict=True):
        assert np.array_equal(one.samples, other.samples)
        # How many windows share a product decides how it is rounded.
        assert one.speech.probabilities == pytest.approx(other.speech.probabilities, abs=1e-5)


def test_lengths_are_those_of_clips_and_of_the_recordings_joined_from_them(tmp_path: Path):
    (tmp_path / "a.flac").symlink_to(SAMPLES / "zh_aishell3_moon.flac")
    (tmp_path / "manifest.jsonl").write_text('{"file": "a.flac"}')
    clip = utterance_lengths(tmp_path)
    assert len(clip) == 1
    recipe = '{"parts": ["a.flac", "a.flac"], "gap_seconds": 2.0}'
    (tmp_path / "longform_recipes.jsonl").write_text(recipe)
    assert utterance_lengths(tmp_path) == pytest.approx(clip * 3, abs=0.3)
