from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.quality.recordings import (
    Recording,
    batches,
    evenly,
    evenly_by_language,
    recordings,
    scores,
    truncated,
)
from consumer.errors import ConfigError
from evaluation.samples import SAMPLES


def clip(seconds: float, language: str = "en") -> Recording:
    return Recording("a", language, "one two", np.zeros(int(16_000 * seconds), np.float32))


def folder(path: Path, **entry: object) -> Path:
    soundfile.write(path / "a.wav", np.zeros((800, 2)), 8_000)
    line = {"file": "a.wav", "text": "one", "lang": "en", "seconds": 0.1} | entry
    (path / "manifest.jsonl").write_text(json.dumps(line))
    return path


def test_the_samples_are_read_at_16_khz():
    found = recordings(SAMPLES)
    assert len(found) == 6
    assert all(one.samples.dtype == np.float32 for one in found)
    assert {one.name: round(one.seconds, 1) for one in found}["en_phone_call"] == 12.6  # 8 kHz


def test_only_clips_of_the_given_languages_are_read():
    assert {one.language for one in recordings(SAMPLES, {"zh"})} == {"zh"}


def test_channels_are_mixed(tmp_path: Path):
    (one,) = recordings(folder(tmp_path))
    assert one.samples.shape == (1600,)


@pytest.mark.parametrize("entry", [{"text": " "}, {"seconds": 30.1}, {"lang": "zh"}])
def test_clips_without_words_too_long_or_of_another_language_are_left_out(
    tmp_path: Path, entry: dict[str, object]
):
    with pytest.raises(ConfigError, match="no clip of en"):
        recordings(folder(tmp_path, **entry), {"en"})


def test_clips_are_chosen_evenly():
    clips = [clip(seconds) for seconds in range(1, 8)]
    assert [one.seconds for one in evenly(clips, 3)] == [1, 3, 5]
    assert evenly(clips, None) == evenly(clips, 9) == clips


def test_clips_of_each_language_are_chosen_evenly():
    clips = [clip(1, "zh"), clip(2), clip(3, "zh"), clip(4), clip(5)]
    chosen = evenly_by_language(clips, 2)
    assert [(one.language, one.seconds) for one in chosen] == [
        *(("en", 2), ("en", 4)),
        *(("zh", 1), ("zh", 3)),
    ]


def test_a_truncated_clip_has_no_reference_and_a_short_one_stays():
    short, long = truncated([clip(1), clip(3)], 2.0)
    assert (short.seconds, short.reference) == (1, "one two")
    assert (long.seconds, long.reference) == (2, "")


def test_batches_keep_the_order():
    clips = [clip(seconds) for seconds in (1, 2, 3)]
    assert [[one.seconds for one in batch] for batch in batches(clips, 2)] == [[1, 2], [3]]


def test_scores_are_of_each_clip():
    assert [one.errors for one in scores([clip(1), clip(1)], ["one", "one two"])] == [1, 0]
