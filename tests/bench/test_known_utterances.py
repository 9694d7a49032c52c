"""Clips as one utterance, with noise of the folder's own."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.cutting import read, utterances
from bench.known_utterances import heard
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.detection import cascade
from consumer.settings import Detector
from evaluation.samples import SAMPLES

MOON = "zh_aishell3_moon.flac"  # one utterance
CALL = "en_phone_call.flac"  # several


def folder(path: Path, *, noise: bool) -> Path:
    lines = [
        {"file": MOON, "text": "现在", "lang": "zh", "seconds": 5.1, "speaker": "moon"},
        {"file": CALL, "text": "okay", "lang": "en", "seconds": 12.6},
    ]
    for line in lines:
        (path / str(line["file"])).symlink_to(SAMPLES / str(line["file"]))
    if noise:
        for name, level in (("silence.wav", 0.0), ("hum.wav", 0.2)):
            sound = level * np.sin(np.arange(8_000) * 0.1)
            soundfile.write(path / name, sound, WHISPER_RATE)
            lines.append({"file": name, "text": "", "lang": "und", "seconds": 0.5})
            lines[-1]["kind"] = "nonspeech"
    (path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return path


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


def test_only_clips_of_one_utterance_are_known(tmp_path: Path) -> None:
    (found,) = heard(folder(tmp_path, noise=False), {"en", "zh"})
    assert (found.speaker, found.language, found.snr_db) == ("moon", "zh", None)
    assert 3 < len(found.samples) / WHISPER_RATE < 5.1


def test_noise_is_mixed_in_at_the_ratio_that_is_told(tmp_path: Path) -> None:
    found = {each.snr_db: each for each in heard(folder(tmp_path, noise=True), {"zh"})}
    assert set(found) == {None, 10.0, 3.0}
    clean, noisy = (level(found[snr].samples) for snr in (None, 3.0))
    assert noisy / clean == pytest.approx(np.sqrt(1 + 10**-0.3), rel=0.1)


def test_a_recording_is_cut_as_the_worker_cuts_it() -> None:
    scorer = cascade.load(Detector.CASCADE)
    samples = read(SAMPLES / CALL)
    found = [*utterances(samples, WHISPER_RATE, scorer, scorer.segmenter)]
    assert [each.number for each in found] == [*range(len(found))]
    assert len(found) > 1
    assert all(one.end <= next_.start for one, next_ in pairwise(found))
    for each in found:
        assert np.array_equal(each.samples, samples[each.start : each.end])
