from __future__ import annotations

import numpy as np

from bench.engine.memory import resident


def test_memory_grows_by_what_is_allocated_and_the_peak_stays():
    before = resident()
    block = np.ones(200_000_000, np.uint8)
    held = resident()
    del block
    after = resident()

    assert 190 < held.now_mb - before.now_mb < 300
    assert after.now_mb < held.now_mb - 100
    assert after.peak_mb >= held.now_mb - 1
