"""The clips of a folder, with the segments of speech that silero-vad finds in each, offline."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch

from bench.live.conversations import Conversation, SpeechClip, join_clips
from bench.quality.decoding import OfflineDecoder, clip_request
from bench.quality.known_clips import attenuated, audible, level, nonspeech
from bench.quality.recordings import MAX_S, RECIPES, SCORED, entries, is_usable, read
from consumer.core.audio.samples import from_float, to_float
from consumer.core.audio.utterance import WHISPER_RATE, Int16Array
from consumer.errors import ConfigError
from consumer.inference.device import set_threads
from evaluation.samples import SampleClip, load_samples

_LEAD_S: Final = 1.0  # of silence before the first clip of a long recording

Segments: TypeAlias = tuple[tuple[int, int], ...]
ReadClip: TypeAlias = Callable[[SampleClip], SpeechClip]


@dataclass(frozen=True, slots=True)
class ClipSet:
    """What streams are made of."""

    speech: dict[str, list[SpeechClip]]  # by language; at most 30 s each
    long: list[Conversation]
    silent: list[SpeechClip]  # without speech

    def noise(self, conversation: Conversation, snr_db: float, choice: int) -> Int16Array:
        """Return a recorded noise [n], scaled to `snr_db` below the mean level of the speech.

        Raises ConfigError where the folder has no audible noise.
        """
        noises = audible(clip.samples for clip in self.silent)
        if not noises:
            raise ConfigError("--noise needs clips of noise (kind: nonspeech) in the --data folder")
        speech = np.mean([level(to_float(placed.clip.samples)) for placed in conversation.clips])
        return from_float(attenuated(noises[choice % len(noises)], float(speech), snr_db))


def load_clips(folder: Path, languages: Collection[str], *, long: bool) -> ClipSet:
    """Read the clips of those languages that can be scored; `long`: long recordings too.

    Raises ConfigError when no clip contains speech.
    """
    set_threads(1)  # the products of a speech detector are too small to share
    scored = [language for language in SCORED if language in languages]
    read_clip = clip_reader()
    speech: defaultdict[str, list[SpeechClip]] = defaultdict(list)
    for sample in load_samples(folder):
        if is_usable(sample, scored) and (clip := read_clip(sample)).segments:
            speech[clip.language].append(clip)
    if not speech:
        problem = f"{folder}: no clip of {', '.join(scored)} with speech, a text"
        raise ConfigError(f"{problem} and at most {MAX_S:g} s; use other clips")
    joined = [*long_recordings(folder, scored, read_clip)] if long else []
    silent = [SpeechClip(name, "und", "", samples, ()) for name, samples in nonspeech(folder)]
    return ClipSet(dict(speech), joined, silent)


def clip_reader() -> ReadClip:
    """Return a function that reads a clip and finds its segments, once for each clip."""
    find = silero()

    @cache
    def read_clip(sample: SampleClip) -> SpeechClip:
        samples = read(sample.path)
        name, language, reference = sample.path.stem, sample.language, sample.reference
        return SpeechClip(name, language, reference, samples, find(samples))

    return read_clip


def long_recordings(
    folder: Path, languages: Collection[str], read_clip: ReadClip, gap_s: float | None = None
) -> Iterator[Conversation]:
    """Yield the recordings that the folder's recipes describe, if there are any.

    `gap_s`: from the end of one clip's speech to the start of the next one's; None: whole clips,
    with the recipe's gaps between them. Raises ConfigError when a recipe names a missing clip.
    """
    samples = {sample.path.name: sample for sample in load_samples(folder)}
    for recipe in entries(folder / RECIPES):
        if missing := {*recipe["parts"]} - samples.keys():
            problem = f"{folder / RECIPES}: {recipe['name']} needs {min(missing)}: add that clip"
            raise ConfigError(problem)
        if recipe["lang"] in languages:
            parts = [read_clip(samples[name]) for name in recipe["parts"]]
            yield _from_recipe(recipe, parts, gap_s)


def _from_recipe(
    recipe: dict[str, Any], parts: Sequence[SpeechClip], gap_s: float | None
) -> Conversation:
    clips = parts if gap_s is None else [_trimmed(part) for part in parts]
    gap = round((recipe["gap_seconds"] if gap_s is None else gap_s) * WHISPER_RATE)
    gaps = [round(_LEAD_S * WHISPER_RATE), *[gap] * (len(clips) - 1)]
    return replace(join_clips(f"long-{recipe['name']}", clips, gaps), reference=recipe["text"])


def _trimmed(clip: SpeechClip) -> SpeechClip:
    """Cut a clip to its speech; leave it whole where no speech is found."""
    if not clip.segments:
        return clip
    start, end = clip.segments[0][0], clip.segments[-1][1]
    segments = tuple((low - start, high - start) for low, high in clip.segments)
    return replace(clip, samples=clip.samples[start:end], segments=segments)


def silero() -> Callable[[Int16Array], Segments]:
    """Load silero-vad; return its own `get_speech_timestamps` with all defaults."""
    threads = torch.get_num_threads()
    import silero_vad

    torch.set_num_threads(threads)  # the import sets one thread for the process
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated", FutureWarning)
        model = silero_vad.load_silero_vad()

    def find(samples: Int16Array) -> Segments:
        found = silero_vad.get_speech_timestamps(torch.from_numpy(to_float(samples)), model)
        return tuple((each["start"], each["end"]) for each in found)

    return find


def whole_texts(decoder: OfflineDecoder, clips: Iterable[SpeechClip]) -> dict[str, str]:
    """Decode each clip as a whole; return the texts by name."""
    named = {clip.name: clip_request(clip.samples, clip.language) for clip in clips}
    hypotheses = decoder.decode([*named.values()], "whole clips")
    return dict(zip(named, (each.text for each in hypotheses), strict=True))
