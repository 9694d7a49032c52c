"""Streams as they are published: clips with silence between them, drawn by a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Final

import numpy as np

from consumer.core.audio.utterance import WHISPER_RATE, Int16Array

SPEECH_SHARE: Final = 0.45  # of a conversation's time
MIN_GAP_S: Final = 1.0  # between clips: twice the default wait for the end of speech
TAIL_S: Final = 2.0  # after the last clip, so that silence ends its utterance, not the stream


@dataclass(frozen=True, slots=True, eq=False)
class SpeechClip:
    """A clip and the segments of speech in it."""

    name: str
    language: str  # Whisper code; "und" for a clip without speech
    reference: str
    samples: Int16Array  # [n] mono at WHISPER_RATE
    segments: tuple[tuple[int, int], ...]  # of speech, [start, end) samples, in order

    @property
    def speech_samples(self) -> int:
        return sum(end - start for start, end in self.segments)


@dataclass(frozen=True, slots=True, eq=False)
class PlacedClip:
    """A clip at its place in a stream."""

    clip: SpeechClip
    start: int  # samples of the stream

    @property
    def end(self) -> int:
        return self.start + len(self.clip.samples)

    @property
    def speech_s(self) -> tuple[float, float]:
        """Start and end of its speech, in seconds of the stream."""
        first, last = self.clip.segments[0], self.clip.segments[-1]
        return (self.start + first[0]) / WHISPER_RATE, (self.start + last[1]) / WHISPER_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Conversation:
    """One stream from its first sample to its last."""

    stream_id: str
    language: str  # Whisper code; "": any
    clips: tuple[PlacedClip, ...]
    length: int  # samples
    reference: str = ""  # of all of it, for a long recording
    noise: Int16Array | None = None  # [n] repeated under all of it; None: silence is zero

    @property
    def seconds(self) -> float:
        return self.length / WHISPER_RATE

    @property
    def speech_s(self) -> float:
        return sum(placed.clip.speech_samples for placed in self.clips) / WHISPER_RATE

    def joined(self, texts: Mapping[str, str]) -> str:
        """Return the texts of its clips, given by name, as one."""
        return " ".join(texts[placed.clip.name] for placed in self.clips)

    def samples(self, start: int, end: int) -> Int16Array:
        """Return the samples [start, end) of the stream."""
        mixed = np.zeros(end - start, np.int32)
        for placed in self.clips:
            low, high = max(start, placed.start), min(end, placed.end)
            if low < high:
                part = placed.clip.samples[low - placed.start : high - placed.start]
                mixed[low - start : high - start] = part
        if self.noise is not None:
            mixed += np.take(self.noise, range(start, end), mode="wrap")
        return np.clip(mixed, -32_768, 32_767).astype(np.int16)


@dataclass(frozen=True, slots=True)
class LiveScenario:
    """Conversations that are published to one worker, all at once."""

    conversations: Sequence[Conversation]
    pace: float  # seconds of audio a second
    partials: bool  # whether interim results are requested
    patience_s: float  # wait for the ends of all streams after the last record

    @property
    def seconds(self) -> float:
        """How long it takes to publish, without the wait."""
        return max(conversation.seconds for conversation in self.conversations) / self.pace


def draw_conversation(
    stream_id: str, clips: Sequence[SpeechClip], seconds: float, seed: int
) -> Conversation:
    """Return clips of one language in random order, silence between them, for about `seconds`.

    Raises ValueError without clips.
    """
    if not clips:
        raise ValueError("a conversation needs clips")
    rng = random.Random(f"{seed}/{stream_id}")
    chosen = _choose(clips, seconds * SPEECH_SHARE * WHISPER_RATE, rng)
    lengths = sum(len(clip.samples) for clip in chosen)
    silence = sum(clip.speech_samples for clip in chosen) / SPEECH_SHARE - lengths
    return join_clips(stream_id, chosen, _draw_gaps(len(chosen), round(silence), rng))


def _choose(clips: Sequence[SpeechClip], speech: float, rng: random.Random) -> list[SpeechClip]:
    """Draw clips with `speech` samples of speech; none twice before every other came once."""
    chosen: list[SpeechClip] = []
    order = cycle(rng.sample(clips, len(clips)))
    while sum(clip.speech_samples for clip in chosen) < speech or not chosen:
        chosen.append(next(order))
    return chosen


def _draw_gaps(count: int, silence: int, rng: random.Random) -> list[int]:
    """Return the samples before each clip: `silence` together, MIN_GAP_S each at least."""
    least = round(MIN_GAP_S * WHISPER_RATE)
    weights = [rng.expovariate(1.0) for _ in range(count)]
    rest = max(0, silence - count * least)
    return [least + round(rest * weight / sum(weights)) for weight in weights]


def join_clips(stream_id: str, clips: Sequence[SpeechClip], gaps: Sequence[int]) -> Conversation:
    """Return a stream of clips, in the language of the first.

    `gaps`: samples of silence before each clip.
    """
    lengths = [len(clip.samples) for clip in clips]
    ends = [*accumulate(gap + length for gap, length in zip(gaps, lengths, strict=True))]
    starts = (end - length for end, length in zip(ends, lengths, strict=True))
    return Conversation(
        stream_id,
        clips[0].language,
        tuple(map(PlacedClip, clips, starts)),
        ends[-1] + round(TAIL_S * WHISPER_RATE),
    )
