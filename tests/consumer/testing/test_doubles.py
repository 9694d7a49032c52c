from __future__ import annotations

import numpy as np
import pytest
from builders import PARTITION, loud, quiet

from consumer.core.audio.segmenter import Segmenter, SegmenterConfig
from consumer.core.audio.utterance import EndReason, Int16Array
from consumer.core.streams.entries import ScoreRequest, VadState
from consumer.core.streams.records import SessionKey
from consumer.testing import EchoEngine

KEY = SessionKey(PARTITION, "s", "0-0")


def scores(audio: Int16Array, rate: int, pieces: int = 1) -> np.ndarray:
    engine, vad = EchoEngine(), VadState()
    parts = np.array_split(audio, pieces)
    return np.concatenate([engine.score_one(ScoreRequest(KEY, vad, rate, part)) for part in parts])


def test_nonzero_samples_are_speech():
    audio = np.concatenate([quiet(0.064), loud(0.032), quiet(0.04)])
    assert scores(audio, 16_000).tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("pieces", [1, 3, 50])
def test_scores_do_not_depend_on_the_pieces(pieces: int):
    audio = np.concatenate([loud(0.3), quiet(0.5), loud(0.2)])
    assert scores(audio, 16_000, pieces).tolist() == scores(audio, 16_000).tolist()


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_scores_have_one_value_per_segmenter_window_at_every_rate(rate: int):
    audio = quiet(9.98, rate)
    segmenter = Segmenter(SegmenterConfig(), rate)
    assert segmenter.push(scores(audio, rate)) is None
    assert segmenter.close(len(audio), EndReason.FLUSH).span is None
