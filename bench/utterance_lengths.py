"""The lengths of real utterances: every clip, and the long streams that recipes join from clips."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.cutting import utterances
from bench.quality.recordings import read
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from consumer.detection import cascade
from consumer.settings import Detector


def record(folder: Path) -> list[float]:
    """Seconds, ascending, of all utterances in the folder's manifest and its recipes."""
    scorer = cascade.load(Detector.CASCADE)
    found = (
        utterance.seconds
        for samples in (*_clips(folder), *_recipes(folder))
        for utterance in utterances(samples, scorer)
    )
    return sorted(round(seconds, 2) for seconds in found)


def _clips(folder: Path) -> Iterator[Int16Array]:
    for entry in _lines(folder / "manifest.jsonl"):
        yield read(folder / entry["file"])


def _recipes(folder: Path) -> Iterator[Int16Array]:
    file = folder / "longform_recipes.jsonl"
    for entry in _lines(file) if file.exists() else ():
        pause = np.zeros(round(entry["gap_seconds"] * WHISPER_RATE), np.int16)
        yield np.concatenate([x for part in entry["parts"] for x in (read(folder / part), pause)])


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, file.read_text("utf-8").splitlines())
