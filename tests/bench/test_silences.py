from __future__ import annotations

import numpy as np

from bench.silences import LENGTH_S, silences
from consumer.core.audio.loudness import clipped_ratio
from consumer.core.audio.utterance import WHISPER_RATE


def test_the_seed_makes_ten_minutes_of_whole_sounds():
    sounds = dict(silences())
    for name, again in silences():
        assert len(again) == LENGTH_S * WHISPER_RATE
        assert np.array_equal(sounds[name], again)
        assert clipped_ratio(again) < 0.001
    assert LENGTH_S * len(sounds) >= 600
