"""A session's audio since its last cut: samples, and where each stands in the log and in time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.state import RecordOrder


@dataclass(frozen=True, slots=True, eq=False)
class AudioSegment:
    """The samples of one record."""

    samples: Int16Array  # [n] mono
    first: int  # index of its first sample in the stream
    offset: int  # of the record
    wall_ms: float  # Unix time of the first sample
    appended_ms: int  # append time of the record
    before: RecordOrder | None = None  # what reading the record again for its sound begins with

    @property
    def end(self) -> int:
        return self.first + len(self.samples)


class Timeline:
    """Contiguous audio up to `end`, of which [start, end) is undecided; samples at `rate`."""

    def __init__(
        self, rate: int, start: int, origin: tuple[int, float], end: int | None = None
    ) -> None:
        """`origin`: a sample and its Unix time in ms, until a record says better.

        `end`: below `start` where audio that is decided already will be read again.
        """
        self.rate = rate
        self.start = start
        self.end = start if end is None else end
        self._origin = origin
        self._segments: list[AudioSegment] = []

    @property
    def undecided(self) -> Sequence[AudioSegment]:
        """What holds the samples from `start` on."""
        return self._segments[self._index(self.start) :] if self.end > self.start else ()

    @property
    def origin(self) -> tuple[int, float]:
        """From which the time of `start` is reckoned."""
        if not self._segments:
            return self._origin
        sound = self._segments[self._index(self.start)]
        return sound.first, sound.wall_ms

    def append(self, sound: AudioSegment) -> None:
        """Raises `ValueError` unless the sound begins where the timeline ends."""
        if sound.first != self.end:
            raise ValueError(f"sound begins at {sound.first}, the timeline ends at {self.end}")
        if len(sound.samples):
            self._segments.append(sound)
            self.end = sound.end

    def samples(self, start: int, end: int) -> Int16Array:
        """A copy of [start, end)."""
        parts = [
            sound.samples[max(0, start - sound.first) : end - sound.first]
            for sound in self._segments[self._index(start) :]
            if sound.first < end
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int16)

    def time_ms(self, sample: int) -> int:
        """Unix time at which a sample was spoken; reckoned on from the nearest record before it."""
        first, wall_ms = self._origin
        if self._segments:
            sound = self._segments[self._index(sample)]
            first, wall_ms = sound.first, sound.wall_ms
        return round(wall_ms + (sample - first) * 1000 / self.rate)

    def appended_ms(self, sample: int) -> int:
        """Append time of the record that holds it, or of the last one before it."""
        return self._segments[self._index(sample)].appended_ms

    def offsets(self, start: int, end: int) -> tuple[int, int]:
        """First and last offset of the records that hold [start, end); late ones may lie apart."""
        held = self._segments[self._index(start) : self._index(end - 1) + 1]
        return min(sound.offset for sound in held), max(sound.offset for sound in held)

    def trim(self, start: int) -> None:
        """Forget what comes before `start`, but for the record that time is reckoned from."""
        del self._segments[: self._index(start)]
        self.start = start

    def _index(self, sample: int) -> int:
        return max(0, bisect_right(self._segments, sample, key=lambda sound: sound.first) - 1)
