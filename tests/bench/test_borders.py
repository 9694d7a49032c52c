"""Long recordings as they are cut, and what their cuts cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.borders import Take, checks, figures
from bench.borders import main as borders
from bench.live.borders import Damage
from bench.live.programme import Long, Spoken, joined
from consumer.core.audio.utterance import WHISPER_RATE, EndReason, Speech, Utterance
from consumer.errors import ConfigError
from evaluation.samples import SAMPLES, load_samples

CLIPS = [
    Spoken(name, "en", said, np.zeros(WHISPER_RATE, np.int16), ())
    for name, said in (("a", "red green blue white"), ("b", "black brown grey pink"))
]
SAID = {clip.name: clip.reference for clip in CLIPS}
LONG = Long(joined("long", CLIPS, [0, 0]), " ".join(SAID.values()))
REASONS = (EndReason.MAX_LENGTH, EndReason.SILENCE, EndReason.END_OF_STREAM)
RIGHT = ("red green", "blue white black brown", "grey pink")
LOST = ("red", *RIGHT[1:])
DOUBLED = (RIGHT[0], "blue white black brown grey", RIGHT[2])


def take(*texts: str) -> Take:
    """Cut by force behind the first text, in a pause behind the second."""
    cut = [utterance(number, reason) for number, reason in enumerate(REASONS)]
    return Take(LONG, tuple(cut), texts, LONG.whole(SAID))


def utterance(number: int, reason: EndReason) -> Utterance:
    speech = Speech(0.8, 1.0, 0.8, (0.8,))
    return Utterance(number, 0, 1, 1, WHISPER_RATE, np.zeros(1, np.int16), reason, speech)


def test_forced_cuts_and_pauses_are_told_apart():
    assert (take(*RIGHT).forced, take(*RIGHT).paused) == ([0], [1])


def test_damage_is_that_of_its_own_cuts():
    lost, doubled = take(*LOST), take(*DOUBLED)
    assert lost.damage(lost.forced) == Damage(cuts=1, lost=1)
    assert doubled.damage(doubled.paused) == Damage(cuts=1, doubled=1)
    assert lost.damage(lost.paused) == doubled.damage(doubled.forced) == Damage(cuts=1)


def test_recordings_are_held_to_their_clips_and_to_their_cuts():
    takes = [take(*RIGHT), take(*LOST)]
    found = figures(takes)
    assert found["en.worse_points"] == pytest.approx(100 / 16)
    assert (found["forced.cuts"], found["forced.words_lost_at_cuts"]) == (2, 1)
    assert (found["paused.cuts"], found["paused.words_lost_at_cuts"]) == (2, 0)
    failed = {check.name for check in checks(takes) if not check.ok}
    assert "words lost at forced cuts" in failed
    assert "words doubled at forced cuts" not in failed


def folder(path: Path) -> Path:
    """All English samples in one recording."""
    samples = [sample for sample in load_samples(SAMPLES) if sample.language == "en"]
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


def test_real_speech_is_cut_and_written(tmp_path: Path, tiny_en_weights: Path) -> None:
    told = tmp_path / "figures.json"
    arguments = ["--data", str(folder(tmp_path)), "--model", str(tiny_en_weights)]
    borders([*arguments, "--gap-s", "0.1", "--takes", "2", "--json", str(told)])
    found = json.loads(told.read_text("utf-8"))["figures"]
    assert found["forced.cuts"] + found["paused.cuts"] >= 4
    assert found["en.wer_percent"] < 30


@pytest.mark.usefixtures("tiny_en_weights")
def test_a_folder_without_recipes_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match="longform_recipes"):
        borders(["--data", str(SAMPLES), "--model", "tiny.en"])
