from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import soundfile

SAMPLES = Path(__file__).parents[1] / "samples"
CLIPS: list[dict[str, Any]] = [
    json.loads(line) for line in (SAMPLES / "manifest.jsonl").read_text("utf-8").splitlines()
]
FREE = ("CC0-1.0", "Public domain", "CC-BY-4.0", "Apache-2.0")


def test_the_manifest_names_every_clip_and_no_other() -> None:
    assert sorted(clip["file"] for clip in CLIPS) == sorted(
        path.name for path in SAMPLES.glob("*.flac")
    )


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_a_clip_is_what_the_manifest_says(clip: dict[str, Any]) -> None:
    path = SAMPLES / clip["file"]
    info = soundfile.info(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip["sha256"]
    assert (info.samplerate, info.channels) == (clip["sample_rate"], 1)
    assert info.duration == pytest.approx(clip["seconds"], abs=0.005)
    assert clip["text"]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_a_clip_may_be_given_away_and_is_credited(clip: dict[str, Any]) -> None:
    readme = (SAMPLES / "README.md").read_text("utf-8")
    row = next(line for line in readme.splitlines() if f"`{clip['file']}`" in line)
    assert clip["license"].startswith(FREE)
    assert clip["source"].split(":")[0] in row


def test_there_is_enough_for_a_fair_demo() -> None:
    languages = Counter(clip["lang"] for clip in CLIPS)
    assert languages["en"] >= 2
    assert languages["zh"] >= 2
    assert any(clip["sample_rate"] == 8_000 for clip in CLIPS)
    assert 50 <= sum(clip["seconds"] for clip in CLIPS) <= 75


def test_a_checkout_stays_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 2 << 20
