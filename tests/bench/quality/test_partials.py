"""Real speech through the worker's own parts, on the clock of the audio."""

from __future__ import annotations

import json
from pathlib import Path

from bench.__main__ import main
from evaluation.samples import SAMPLES


def test_stable_text_of_real_speech(tmp_path: Path, tiny_en_weights: Path):
    file = tmp_path / "found.json"
    where = ["--data", str(SAMPLES), "--model", str(tiny_en_weights), "--json", str(file)]
    assert main(["partials", *where, "--clips", "2"]) == 0
    found = json.loads(file.read_text("utf-8"))
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
