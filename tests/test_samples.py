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
FREE_LICENCES = ("CC0-1.0", "Public domain", "CC-BY-4.0", "Apache-2.0")


def test_the_manifest_lists_exactly_the_clips() -> None:
    assert sorted(clip["file"] for clip in CLIPS) == sorted(
        path.name for path in SAMPLES.glob("*.flac")
    )


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_a_clip_matches_its_manifest_entry(clip: dict[str, Any]) -> None:
    path = SAMPLES / clip["file"]
    info = soundfile.info(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == clip["sha256"]
    assert (info.samplerate, info.channels) == (clip["sample_rate"], 1)
    assert info.duration == pytest.approx(clip["seconds"], abs=0.005)
    assert clip["text"]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: clip["file"])
def test_a_clip_has_a_free_licence_and_is_credited(clip: dict[str, Any]) -> None:
    readme = (SAMPLES / "README.md").read_text("utf-8")
    row = next(line for line in readme.splitlines() if f"`{clip['file']}`" in line)
    assert clip["license"].startswith(FREE_LICENCES)
    assert clip["source"].split(":")[0] in row


def test_the_clips_cover_both_languages_and_telephone_audio() -> None:
    languages = Counter(clip["lang"] for clip in CLIPS)
    assert languages["en"] >= 2
    assert languages["zh"] >= 2
    assert any(clip["sample_rate"] == 8_000 for clip in CLIPS)
    assert 50 <= sum(clip["seconds"] for clip in CLIPS) <= 75


def test_the_clips_are_below_two_mebibytes() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 2 << 20
