"""The clips of a folder, made ready to be spoken: where speech is in each, by silero, offline."""

from __future__ import annotations

import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from bench.cutting import read
from bench.known_utterances import nonspeech
from bench.live.programme import Long, Spoken, joined
from bench.recordings import SCORED, recordings
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from consumer.errors import ConfigError
from evaluation.samples import SampleClip, load_samples

RECIPES: Final = "longform_recipes.jsonl"
NOTHING_SAID: Final = "und"
_LEAD_S: Final = 1.0  # before the first clip of a long recording

Find: TypeAlias = Callable[[Int16Array], tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Material:
    clips: dict[str, list[Spoken]]  # by language; with speech, at most 30 s
    long: list[Long]
    silent: list[Spoken]  # clips in which nothing is said

    @property
    def languages(self) -> list[str]:
        return list(self.clips)


def material(folder: Path, languages: Collection[str]) -> Material:
    """Of those languages whose error rates can be told. Raises ConfigError when there is none."""
    known = [language for language in SCORED if language in languages]
    find = silero()
    clips: defaultdict[str, list[Spoken]] = defaultdict(list)
    for clip in recordings(folder, known):
        sound = from_float(clip.samples)
        spoken = Spoken(clip.name, clip.language, clip.reference, sound, find(sound))
        if spoken.segments:
            clips[clip.language].append(spoken)
    if not clips:
        raise ConfigError(f"{folder}: silero hears no speech in any clip")
    silent = [Spoken(name, NOTHING_SAID, "", sound, ()) for name, sound in nonspeech(folder)]
    return Material(dict(clips), [*long_recordings(folder, known, find)], silent)


def long_recordings(
    folder: Path, languages: Collection[str], find: Find, gap_s: float | None = None
) -> Iterable[Long]:
    """What the recipes of the folder make, if it has any.

    `gap_s`: from the end of one clip's speech to the beginning of the next one's; None: whole
    clips, with the gaps of the recipe between. Raises ConfigError when a clip is absent.
    """
    file = folder / RECIPES
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    samples = {sample.path.name: sample for sample in load_samples(folder)}
    for recipe in map(json.loads, lines):
        if absent := {*recipe["parts"]} - samples.keys():
            raise ConfigError(f"{file}: {recipe['name']} wants {min(absent)}: no such clip here")
        if recipe["lang"] in languages:
            parts = [_part(samples[name], find) for name in recipe["parts"]]
            yield _cooked(recipe, parts, gap_s)


def _cooked(recipe: dict[str, Any], parts: Sequence[Spoken], gap_s: float | None) -> Long:
    clips = parts if gap_s is None else [_tight(part) for part in parts]
    gap = round((recipe["gap_seconds"] if gap_s is None else gap_s) * WHISPER_RATE)
    gaps = [round(_LEAD_S * WHISPER_RATE), *[gap] * (len(clips) - 1)]
    return Long(joined(f"long-{recipe['name']}", clips, gaps), recipe["text"])


def _tight(clip: Spoken) -> Spoken:
    """From the beginning of its speech to the end; all of it where none is found."""
    if not clip.segments:
        return clip
    start, end = clip.segments[0][0], clip.segments[-1][1]
    segments = tuple((low - start, high - start) for low, high in clip.segments)
    return replace(clip, samples=clip.samples[start:end], segments=segments)


def _part(sample: SampleClip, find: Find) -> Spoken:
    sound = read(sample.path)
    return Spoken(sample.path.stem, sample.language, sample.reference, sound, find(sound))


def silero() -> Find:
    """The package's own `get_speech_timestamps` with all its defaults."""
    threads = torch.get_num_threads()
    import silero_vad

    torch.set_num_threads(threads)  # importing it sets them to one, for everybody
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
        model = silero_vad.load_silero_vad()

    def find(sound: Int16Array) -> tuple[tuple[int, int], ...]:
        heard = silero_vad.get_speech_timestamps(torch.from_numpy(to_float(sound)), model)
        return tuple((each["start"], each["end"]) for each in heard)

    return find


def bed(
    silent: Sequence[Spoken], clips: Iterable[Spoken], snr_db: float, choice: int
) -> Int16Array:
    """A real noise so far below the speech of these clips, [n].

    Raises ConfigError where the folder has none.
    """
    audible = [each for each in silent if _level(each.samples) > _AUDIBLE]
    if not audible:
        raise ConfigError("--noise takes its noise from clips in which nothing is said: none here")
    noise = to_float(audible[choice % len(audible)].samples)
    loud = np.mean([_level(clip.samples) for clip in clips])
    scaled: Int16Array = from_float(
        (noise * (loud / 10 ** (snr_db / 20) / np.sqrt(np.mean(noise**2)))).astype(np.float32)
    )
    return scaled


_AUDIBLE: Final = 0.001  # root mean square


def _level(samples: Int16Array) -> float:
    return float(np.sqrt(np.mean(to_float(samples) ** 2)))
