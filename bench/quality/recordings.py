"""Clips of a folder with a manifest: samples, language and reference text."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
import soxr

from consumer.core.audio.samples import from_float
from consumer.core.audio.utterance import WHISPER_RATE, Float32Array, Int16Array
from consumer.errors import ConfigError
from evaluation.samples import SampleClip, load_samples
from evaluation.scoring import Score, score

MAX_S: Final = 30.0  # Whisper's window; longer clips are left out
SCORED: Final = ("en", "zh")  # languages in which error rates are computed
MANIFEST: Final = "manifest.jsonl"
RECIPES: Final = "longform_recipes.jsonl"  # long recordings, joined from clips
_MAX_SAMPLES: Final = int(MAX_S * WHISPER_RATE)


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One clip and its reference text."""

    name: str
    language: str  # Whisper code
    reference: str
    samples: Float32Array  # [n] mono at WHISPER_RATE

    @property
    def seconds(self) -> float:
        return len(self.samples) / WHISPER_RATE


def recordings(folder: Path, languages: Collection[str] | None = None) -> list[Recording]:
    """Return the clips with speech of at most 30 s in the manifest's order; None: all languages.

    Raises `ConfigError` when there are none.
    """
    return [
        Recording(s.path.stem, s.language, s.reference, read_float(s.path)[:_MAX_SAMPLES])
        for s in spoken_samples(folder, languages)
    ]


def spoken_samples(folder: Path, languages: Collection[str] | None = None) -> list[SampleClip]:
    """Return what `recordings` returns, without its audio. Raises `ConfigError`."""
    found = [sample for sample in load_samples(folder) if is_usable(sample, languages)]
    if not found:
        wanted = ", ".join(sorted(languages)) if languages else "any language"
        raise ConfigError(f"{folder}: no clip of {wanted} with a text and at most {MAX_S:g} s")
    return found


def entries(file: Path) -> list[dict[str, Any]]:
    """Return the entries of a manifest or of recipes; none without the file."""
    return [*map(json.loads, file.read_text("utf-8").splitlines())] if file.is_file() else []


def is_usable(sample: SampleClip, languages: Collection[str] | None) -> bool:
    has_speech = bool(sample.reference.strip()) and sample.seconds <= MAX_S
    return has_speech and (languages is None or sample.language in languages)


def read_float(path: Path) -> Float32Array:
    """Return the samples of an audio file, [n] at WHISPER_RATE, its channels mixed."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono: Float32Array = audio.mean(axis=1)
    if rate != WHISPER_RATE:
        mono = soxr.resample(mono, rate, WHISPER_RATE).astype(np.float32)
    return mono


def read(path: Path) -> Int16Array:
    """Return the samples of an audio file in 16 bits."""
    return from_float(read_float(path))


def evenly(clips: Sequence[Recording], count: int | None) -> list[Recording]:
    """Return at most `count` clips, evenly spaced among all of them; None: all."""
    if count is None or len(clips) <= count:
        return [*clips]
    return [clips[index * len(clips) // count] for index in range(count)]


def evenly_by_language(clips: Sequence[Recording], count: int | None) -> list[Recording]:
    """Return at most `count` clips of each language, grouped by language."""
    groups = ([clips[at] for at in group] for _, group in sorted(by_language(clips).items()))
    return [clip for group in groups for clip in evenly(group, count)]


def by_language(clips: Iterable[Recording]) -> dict[str, list[int]]:
    """Return the indices of the clips of each language."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, clip in enumerate(clips):
        groups[clip.language].append(index)
    return groups


def truncated(clips: Iterable[Recording], seconds: float | None) -> list[Recording]:
    """Return the first `seconds` of each clip (None: all); a shortened clip has no reference."""
    if seconds is None:
        return [*clips]
    length = int(seconds * WHISPER_RATE)
    return [
        clip
        if len(clip.samples) <= length
        else replace(clip, reference="", samples=clip.samples[:length])
        for clip in clips
    ]


def batches(clips: Sequence[Recording], size: int) -> Iterator[Sequence[Recording]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


def scores(clips: Sequence[Recording], texts: Sequence[str]) -> list[Score]:
    return [score(c.reference, text, c.language) for c, text in zip(clips, texts, strict=True)]
