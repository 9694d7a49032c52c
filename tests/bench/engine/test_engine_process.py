from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.samples import SAMPLES


def test_two_workers_on_one_engine(run_bench: Callable[..., Any], tiny_en_weights: Path):
    line = "engine_process --clips 3 --rounds 1 --batch 2 --threads 1"
    found = run_bench(line, model=tiny_en_weights, data=SAMPLES)
    figures = found["figures"]
    share = figures["engine_process.rtfx"] / figures["one_process.rtfx"]
    assert figures["engine_process.share"] == pytest.approx(share)
    (check,) = found["checks"]
    assert (check["name"], check["limit"]) == ("engine_process.share", 0.95)
