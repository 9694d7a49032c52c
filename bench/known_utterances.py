"""Utterances whose words are known: clips as they are, and with real noise mixed in."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bench.cutting import read, utterances
from bench.recordings import recordings
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array
from consumer.detection import cascade
from consumer.settings import Detector

SNRS_DB: Final = (None, 10.0, 3.0)  # None: as recorded
_SILENT: Final = 0.001  # root mean square below which a clip is no noise


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One utterance, and what was said in it."""

    samples: Float32Array  # [n] at WHISPER_RATE
    language: str  # Whisper code
    reference: str
    speaker: str
    snr_db: float | None  # None: as recorded


def heard(folder: Path, languages: Collection[str]) -> Iterator[Heard]:
    """Of clips that the worker would take as one utterance: else nobody knows who said what when.

    Noise is that of the folder's clips without speech; where there are none, none is added.
    """
    entries = _manifest(folder)
    sounds = noises(folder)
    scorer = cascade.load(Detector.CASCADE)
    for index, clip in enumerate(recordings(folder, languages)):
        for snr_db in SNRS_DB if sounds else SNRS_DB[:1]:
            sound = (
                mixed(clip.samples, sounds[index % len(sounds)], snr_db) if snr_db else clip.samples
            )
            found = [*utterances(from_float(sound), WHISPER_RATE, scorer, scorer.segmenter)]
            if len(found) == 1:
                speaker = entries[clip.name].get("speaker", clip.name)
                samples = to_float(found[0].samples)
                yield Heard(samples, clip.language, clip.reference, speaker, snr_db)


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    """Entries by the name of their clip."""
    lines = (folder / "manifest.jsonl").read_text("utf-8").splitlines()
    return {Path(entry["file"]).stem: entry for entry in map(json.loads, lines)}


def nonspeech(folder: Path) -> Iterator[tuple[str, Int16Array]]:
    """Name and samples at WHISPER_RATE of the folder's clips in which nothing is said."""
    for entry in _manifest(folder).values():
        if entry.get("kind") == "nonspeech":
            yield entry["file"], read(folder / entry["file"])


def noises(folder: Path) -> list[Float32Array]:
    """Those of them that can be heard."""
    sounds = (to_float(samples) for _, samples in nonspeech(folder))
    return [sound for sound in sounds if _level(sound) > _SILENT]


def mixed(speech: Float32Array, noise: Float32Array, snr_db: float) -> Float32Array:
    """Speech with noise below it by so much; quieter where it would be clipped."""
    wanted = _level(speech) / 10 ** (snr_db / 20)
    sound = speech + np.resize(noise, len(speech)) * (wanted / _level(noise))
    scaled: Float32Array = (sound / max(1.0, float(np.abs(sound).max()))).astype(np.float32)
    return scaled


def _level(samples: Float32Array) -> float:
    return float(np.sqrt(np.mean(samples**2)))
