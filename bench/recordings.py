"""The clips of a folder with a manifest, as a transcriber hears them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr

from consumer.core.audio.utterance import WHISPER_RATE, Float32Array
from consumer.errors import ConfigError
from evaluation.samples import SampleClip, load_samples
from evaluation.scoring import Score, score

MAX_S: Final = 30.0  # Whisper's window; longer clips are left out
SCORED: Final = ("en", "zh")  # languages whose references can be scored


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One clip, and what is said in it."""

    name: str
    language: str  # Whisper code
    reference: str
    samples: Float32Array  # [n] mono at WHISPER_RATE

    @property
    def seconds(self) -> float:
        return len(self.samples) / WHISPER_RATE


def recordings(folder: Path, languages: Collection[str] | None = None) -> list[Recording]:
    """All with speech and of at most 30 s, in the manifest's order; None: of every language.

    Raises ConfigError when there are none.
    """
    wanted = [s for s in load_samples(folder) if _fits(s, languages)]
    if not wanted:
        asked = ", ".join(sorted(languages)) if languages else "any language"
        raise ConfigError(f"{folder}: no clip of {asked} with a text and at most {MAX_S:g} s")
    return [Recording(s.path.stem, s.language, s.reference, _samples(s.path)) for s in wanted]


def _fits(sample: SampleClip, languages: Collection[str] | None) -> bool:
    spoken = bool(sample.reference.strip()) and sample.seconds <= MAX_S
    return spoken and (languages is None or sample.language in languages)


def _samples(path: Path) -> Float32Array:
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    heard = mono if rate == WHISPER_RATE else soxr.resample(mono, rate, WHISPER_RATE)
    found: Float32Array = heard.astype(np.float32)[: int(MAX_S * WHISPER_RATE)]
    return found


def thinned(clips: Sequence[Recording], count: int | None) -> list[Recording]:
    """At most `count`, taken evenly from all of them; None: all."""
    if count is None or len(clips) <= count:
        return [*clips]
    return [clips[index * len(clips) // count] for index in range(count)]


def cut(clips: Sequence[Recording], seconds: float | None) -> list[Recording]:
    """Their first `seconds`, as far as they go; None: whole. What is said in a cut is unknown."""
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
