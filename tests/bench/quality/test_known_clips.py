"""Clips cut into utterances, under the folder's own noise, and sounds without speech."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.quality.cutting import utterances
from bench.quality.known_clips import LENGTH_S, KnownClip, known_clips, mixed, silences
from bench.quality.recordings import read
from consumer.core.audio.loudness import clipped_ratio
from consumer.core.audio.utterance import WHISPER_RATE
from consumer.detection import cascade
from consumer.settings import Detector
from evaluation.samples import SAMPLES

MOON = "zh_aishell3_moon.flac"  # one utterance
CALL = "en_phone_call.flac"  # several

pytestmark = pytest.mark.usefixtures("one_thread")


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


def level(clip: KnownClip) -> float:
    samples = clip.utterances[0].samples
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


def test_clips_come_with_their_speaker_and_their_utterances(tmp_path: Path) -> None:
    moon, call = known_clips(folder(tmp_path, noise=False), {"en", "zh"})
    assert (moon.speaker, moon.recording.language, moon.snr_db) == ("moon", "zh", None)
    (utterance,) = moon.utterances
    assert 3 < utterance.seconds < 5.1
    assert call.speaker == "en_phone_call"
    assert len(call.utterances) > 1


def test_noise_is_mixed_in_at_each_ratio(tmp_path: Path) -> None:
    found = {each.snr_db: each for each in known_clips(folder(tmp_path, noise=True), {"zh"})}
    assert set(found) == {None, 10.0, 3.0}
    clean, noisy = (level(found[snr]) for snr in (None, 3.0))
    assert noisy / clean == pytest.approx(np.sqrt(1 + 10**-0.3), rel=0.1)


def test_loud_mixtures_are_scaled_and_not_clipped() -> None:
    speech, noise = np.array([1.0, -1.0], np.float32), np.array([1.0], np.float32)
    assert np.abs(mixed(speech, noise, 0.0)).max() == pytest.approx(1.0)


def test_a_recording_is_cut_into_separate_utterances_in_order() -> None:
    scorer = cascade.load(Detector.CASCADE)
    samples = read(SAMPLES / CALL)
    found = [*utterances(samples, scorer)]
    assert [each.number for each in found] == [*range(len(found))]
    assert len(found) > 1
    assert all(one.end <= next_.start for one, next_ in pairwise(found))
    for each in found:
        assert np.array_equal(each.samples, samples[each.start : each.end])


def test_the_seed_makes_ten_minutes_of_whole_sounds() -> None:
    sounds = dict(silences())
    for name, again in silences():
        assert len(again) == LENGTH_S * WHISPER_RATE
        assert np.array_equal(sounds[name], again)
        assert clipped_ratio(again) < 0.001
    assert LENGTH_S * len(sounds) >= 600
