"""What each stream says and when: clips with silence between them, drawn by a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Final

import numpy as np

from consumer.core.audio.utterance import WHISPER_RATE, Int16Array

TALK: Final = 0.45  # share of a stream's time in which somebody speaks; issue D
MIN_GAP_S: Final = 1.0  # between clips: twice the wait for the end of speech
TAIL_S: Final = 2.0  # behind the last one, so that silence ends it and not the stream


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """One clip and where in it somebody speaks."""

    name: str
    language: str  # Whisper code; "und": nothing is said
    reference: str
    samples: Int16Array  # [n] mono at WHISPER_RATE
    segments: tuple[tuple[int, int], ...]  # of speech, [start, end) samples, in order

    @property
    def speech_samples(self) -> int:
        return sum(end - start for start, end in self.segments)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A clip at its place in a stream; times are samples of the stream."""

    clip: Spoken
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.clip.samples)

    @property
    def speech_start(self) -> int:
        return self.start + self.clip.segments[0][0]

    @property
    def speech_end(self) -> int:
        return self.start + self.clip.segments[-1][1]

    @property
    def speech_s(self) -> tuple[float, float]:
        """Begin and end of its speech in seconds of the stream."""
        return self.speech_start / WHISPER_RATE, self.speech_end / WHISPER_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Programme:
    """One stream from its first sample to its last."""

    stream_id: str
    language: str  # Whisper code; "": any
    placed: tuple[Placed, ...]
    length: int  # samples
    noise: Int16Array | None = None  # [n] under all of it, again and again; None: silence is zero

    @property
    def seconds(self) -> float:
        return self.length / WHISPER_RATE

    @property
    def talk(self) -> float:
        """Share of its time in which somebody speaks."""
        return sum(each.clip.speech_samples for each in self.placed) / self.length

    def samples(self, start: int, end: int) -> Int16Array:
        """[start, end) as it is heard."""
        sound = np.zeros(end - start, np.int32)
        for each in self.placed:
            low, high = max(start, each.start), min(end, each.end)
            if low < high:
                sound[low - start : high - start] = each.clip.samples[
                    low - each.start : high - each.start
                ]
        if self.noise is not None:
            sound += np.take(self.noise, range(start, end), mode="wrap")
        return np.clip(sound, -32_768, 32_767).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Long:
    """A long recording: the parts of a recipe, one after the other, and the text of all."""

    programme: Programme
    reference: str

    def whole(self, texts: Mapping[str, str]) -> str:
        """Those of its clips, by name, one after the other."""
        return " ".join(texts[placed.clip.name] for placed in self.programme.placed)


def conversation(
    stream_id: str, clips: Sequence[Spoken], seconds: float, seed: int, talk: float = TALK
) -> Programme:
    """Clips of one language in any order for about so long, with so much silence between them.

    Raises ValueError when there are no clips.
    """
    if not clips:
        raise ValueError("no clips to speak")
    rng = random.Random(f"{seed}/{stream_id}")
    chosen = _chosen(clips, seconds * talk * WHISPER_RATE, rng)
    lengths = [len(clip.samples) for clip in chosen]
    silence = sum(clip.speech_samples for clip in chosen) / talk - sum(lengths)
    gaps = _gaps(len(chosen), round(silence), rng)
    return joined(stream_id, chosen, gaps)


def _chosen(clips: Sequence[Spoken], speech: float, rng: random.Random) -> list[Spoken]:
    """Until so many samples of speech are there; none comes again before all others came."""
    chosen: list[Spoken] = []
    order = cycle(rng.sample(clips, len(clips)))
    while sum(clip.speech_samples for clip in chosen) < speech or not chosen:
        chosen.append(next(order))
    return chosen


def _gaps(count: int, silence: int, rng: random.Random) -> list[int]:
    """Samples before each clip, together `silence`, if that leaves each the least."""
    least = round(MIN_GAP_S * WHISPER_RATE)
    weights = [rng.expovariate(1.0) for _ in range(count)]
    rest = max(0, silence - count * least)
    return [least + round(rest * weight / sum(weights)) for weight in weights]


def joined(
    stream_id: str, clips: Sequence[Spoken], gaps: Iterable[int], language: str | None = None
) -> Programme:
    """Clips with so many samples before each; None: in the language of the first."""
    steps = [(gap, clip) for gap, clip in zip(gaps, clips, strict=True)]
    ends = [*accumulate(gap + len(clip.samples) for gap, clip in steps)]
    placed = tuple(
        Placed(clip, end - len(clip.samples)) for (_, clip), end in zip(steps, ends, strict=True)
    )
    length = ends[-1] + round(TAIL_S * WHISPER_RATE)
    return Programme(stream_id, clips[0].language if language is None else language, placed, length)
