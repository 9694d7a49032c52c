"""A session's audio since its last cut: samples, and where each stands in the log and in time."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from consumer.core.progress import Position
from consumer.core.values import Int16Array


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """The samples of one record."""

    samples: Int16Array  # [n] mono
    first: int  # index of its first sample in the stream
    offset: int  # of the record
    wall_ms: float  # Unix time of the first sample
    skipped: int = 0  # samples of the record that came before `first`

    @property
    def end(self) -> int:
        return self.first + len(self.samples)


class Timeline:
    """Contiguous audio [start, end) in samples at `rate`, trimmed at every cut."""

    def __init__(self, rate: int, start: int, wall_ms: float) -> None:
        """`wall_ms`: Unix time of the sample `start`, until a record says better."""
        self.rate = rate
        self.start = start
        self.end = start
        self._origin = (start, wall_ms)
        self._sounds: list[Sound] = []

    def append(self, sound: Sound) -> None:
        """Raises `ValueError` unless the sound begins where the timeline ends."""
        if sound.first != self.end:
            raise ValueError(f"sound begins at {sound.first}, the timeline ends at {self.end}")
        if len(sound.samples):
            self._sounds.append(sound)
            self.end = sound.end

    def samples(self, start: int, end: int) -> Int16Array:
        """A copy of [start, end)."""
        parts = [
            sound.samples[max(0, start - sound.first) : end - sound.first]
            for sound in self._sounds[self._index(start) :]
            if sound.first < end
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int16)

    def position(self, sample: int) -> Position | None:
        """Where a sample stands in the log; None for one that has not come yet."""
        if sample >= self.end:
            return None
        sound = self._sounds[self._index(sample)]
        return Position(sound.offset, sound.skipped + sample - sound.first)

    def time_ms(self, sample: int) -> int:
        """Unix time at which a sample was spoken; reckoned on from the nearest record before it."""
        first, wall_ms = self._origin
        if self._sounds:
            sound = self._sounds[self._index(sample)]
            first, wall_ms = sound.first, sound.wall_ms
        return round(wall_ms + (sample - first) * 1000 / self.rate)

    def offsets(self, start: int, end: int) -> tuple[int, int]:
        """First and last offset of the records that hold [start, end)."""
        first, last = self._index(start), self._index(end - 1)
        return self._sounds[first].offset, self._sounds[last].offset

    def trim(self, start: int) -> None:
        """Forget what comes before `start`, but for the record that time is reckoned from."""
        del self._sounds[: self._index(start)]
        self.start = start

    def _index(self, sample: int) -> int:
        return max(0, bisect_right(self._sounds, sample, key=lambda sound: sound.first) - 1)
