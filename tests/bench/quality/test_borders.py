"""Long recordings as they are cut, and the errors at their cuts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.__main__ import main as bench
from bench.live.conversations import SpeechClip, join_clips
from bench.live.text_errors import CutErrors
from bench.quality.borders import CutRecording, checks, figures
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Speech, Utterance
from evaluation.samples import SAMPLES, load_samples

CLIPS = [
    SpeechClip(name, "en", reference, np.zeros(WHISPER_RATE, np.int16), ())
    for name, reference in (("a", "red green blue white"), ("b", "black brown grey pink"))
]
REFERENCES = {clip.name: clip.reference for clip in CLIPS}
LONG = replace(join_clips("long", CLIPS, [0, 0]), reference=" ".join(REFERENCES.values()))
REASONS = (EndReason.MAX_LENGTH, EndReason.SILENCE, EndReason.END_OF_STREAM)
RIGHT = ("red green", "blue white black brown", "grey pink")
LOST = ("red", *RIGHT[1:])
ENGLISH = ("en_jfk.flac", "en_ljspeech.flac")
DOUBLED = (RIGHT[0], "blue white black brown grey", RIGHT[2])


def recording(*texts: str) -> CutRecording:
    """Return a recording with a forced cut after the first text, and a pause after the second."""
    cut = [utterance(number, reason) for number, reason in enumerate(REASONS)]
    return CutRecording(LONG, tuple(cut), texts, LONG.joined(REFERENCES))


def utterance(number: int, reason: EndReason) -> Utterance:
    speech = Speech(0.8, 1.0, 0.8, (0.8,))
    return Utterance(number, 0, 1, 1, WHISPER_RATE, np.zeros(1, np.int16), reason, speech)


def test_forced_cuts_and_pauses_are_distinguished():
    assert (recording(*RIGHT).forced, recording(*RIGHT).paused) == ([0], [1])


def test_errors_are_those_of_the_given_cuts():
    lost, doubled = recording(*LOST), recording(*DOUBLED)
    assert lost.errors(lost.forced) == CutErrors(cuts=1, lost=1)
    assert doubled.errors(doubled.paused) == CutErrors(cuts=1, doubled=1)
    assert lost.errors(lost.paused) == doubled.errors(doubled.forced) == CutErrors(cuts=1)


def test_recordings_are_compared_with_their_clips_and_at_their_cuts():
    found = figures([recording(*RIGHT), recording(*LOST)])
    assert found["en.worse_points"] == pytest.approx(100 / 16)
    assert (found["forced.cuts"], found["forced.words_lost_at_cuts"]) == (2, 1)
    assert (found["paused.cuts"], found["paused.words_lost_at_cuts"]) == (2, 0)
    failed = {check.name for check in checks(found) if not check.ok}
    assert "words lost at forced cuts" in failed
    assert "words doubled at forced cuts" not in failed


def folder(path: Path) -> Path:
    """Make one recording of the samples of read English."""
    samples = [sample for sample in load_samples(SAMPLES) if sample.path.name in ENGLISH]
    for sample in samples:
        (path / sample.path.name).symlink_to(sample.path)
    recipe = {
        "name": "all",
        "lang": "en",
        "parts": [sample.path.name for sample in samples],
        "gap_seconds": 0.3,
        "text": " ".join(sample.reference for sample in samples),
    }
    (path / "longform_recipes.jsonl").write_text(json.dumps(recipe))
    (path / "manifest.jsonl").write_text((SAMPLES / "manifest.jsonl").read_text("utf-8"))
    return path


def test_real_speech_is_cut_and_decoded(
    run_bench: Callable[..., Any], tmp_path: Path, tiny_en_weights: Path
) -> None:
    line = "borders --dtype fp32 --gap-s 0.1 --offsets 2"
    found = run_bench(line, data=folder(tmp_path), model=tiny_en_weights)["figures"]
    assert found["forced.cuts"] + found["paused.cuts"] >= 4
    assert found["en.wer_percent"] < 10


@pytest.mark.usefixtures("tiny_en_weights")
def test_a_folder_without_recipes_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(["borders", "--data", str(SAMPLES), "--model", "tiny.en"]) == 2
    assert "longform_recipes" in capsys.readouterr().err
