from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.recordings import Recording, batches, cut, recordings, scores, thinned
from consumer.errors import ConfigError
from evaluation.samples import SAMPLES


def clip(seconds: float) -> Recording:
    return Recording("a", "en", "one two", np.zeros(int(16_000 * seconds), np.float32))


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


def test_languages_are_chosen():
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


def test_thinning_takes_evenly():
    clips = [clip(seconds) for seconds in range(1, 8)]
    assert [one.seconds for one in thinned(clips, 3)] == [1, 3, 5]
    assert thinned(clips, None) == thinned(clips, 9) == clips


def test_a_cut_clip_has_no_reference_and_a_short_one_stays():
    short, long = cut([clip(1), clip(3)], 2.0)
    assert (short.seconds, short.reference) == (1, "one two")
    assert (long.seconds, long.reference) == (2, "")


def test_batches_keep_the_order():
    clips = [clip(seconds) for seconds in (1, 2, 3)]
    assert [[one.seconds for one in batch] for batch in batches(clips, 2)] == [[1, 2], [3]]


def test_scores_are_of_each_clip():
    assert [one.errors for one in scores([clip(1), clip(1)], ["one", "one two"])] == [1, 0]
