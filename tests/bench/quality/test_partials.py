"""Real speech through the worker's own parts, on the clock of the audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.samples import SAMPLES


def test_stable_text_of_real_speech(run_bench: Callable[..., Any], tiny_en_weights: Path):
    found = run_bench("partials --clips 2", data=SAMPLES, model=tiny_en_weights)
    figures = found["figures"]
    assert figures["all.partials"] == figures["en.partials"] > 10
    assert figures["en.stable_taken_back_share"] == 0
    assert figures["en.stable_before_final_share"] > 0.3
    assert figures["en.stable_changed_share"] < 0.2
    assert 0.3 < figures["en.stable_delay_p50_s"] < 5
    assert [check["name"] for check in found["checks"]] == [
        "stable text taken back",
        "words stable before their final",
        "stable words changed by the final",
    ]
