"""The audio of a session since its last cut, with its offsets in the log and its wall time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.state import RecordOrder


class AudioSegment(NamedTuple):
    """The samples of one record."""

    samples: Int16Array  # [n] mono
    first: int  # index of its first sample in the stream
    offset: int  # of the record
    wall_ms: float  # Unix time of the first sample
    appended_ms: int  # append time of the record
    before: RecordOrder | None = None  # before the record, to read it again from here

    @property
    def end(self) -> int:
        return self.first + len(self.samples)


class Timeline:
    """Contiguous audio up to sample `end`, of which [start, end) is undecided."""

    def __init__(
        self, rate: int, start: int, origin: tuple[int, float], end: int | None = None
    ) -> None:
        """`origin`: a sample and its Unix time in ms, used until the first record is appended.

        `end`: below `start` if decided audio will be read again.
        """
        self.rate = rate
        self.start = start
        self.end = start if end is None else end
        self._origin = origin
        self._segments: list[AudioSegment] = []
        self._firsts: list[int] = []  # the first sample of each

    @property
    def undecided(self) -> Sequence[AudioSegment]:
        """The segments of [start, end)."""
        return self._segments[self._index(self.start) :] if self.end > self.start else ()

    @property
    def origin(self) -> tuple[int, float]:
        """A sample and its Unix time in ms, from which the time of `start` is computed."""
        if not self._segments:
            return self._origin
        segment = self._segments[self._index(self.start)]
        return segment.first, segment.wall_ms

    def append(self, segment: AudioSegment) -> None:
        """Add a segment. Raises `ValueError` unless it begins where the timeline ends."""
        if segment.first != self.end:
            raise ValueError(f"segment begins at {segment.first}, the timeline ends at {self.end}")
        if len(segment.samples):
            self._segments.append(segment)
            self._firsts.append(segment.first)
            self.end = segment.end

    def samples(self, start: int, end: int) -> Int16Array:
        """Return a copy of [start, end)."""
        parts = self._parts(start, end)
        return np.concatenate(parts) if parts else np.empty(0, np.int16)

    def view(self, start: int, end: int) -> Int16Array:
        """Return [start, end), not to be written to: the audio of a single record is no copy."""
        parts = self._parts(start, end)
        return parts[0] if len(parts) == 1 else self.samples(start, end)

    def _parts(self, start: int, end: int) -> list[Int16Array]:
        """Return the samples of [start, end) of each segment."""
        segments = self._segments[self._index(start) : self._index(end - 1) + 1]
        if not segments:
            return []
        parts = [segment.samples for segment in segments]
        parts[-1] = parts[-1][: max(0, end - segments[-1].first)]
        parts[0] = parts[0][max(0, start - segments[0].first) :]
        return parts

    def time_ms(self, sample: int) -> int:
        """Return the Unix time of a sample, computed from the nearest record before it."""
        first, wall_ms = self._origin
        if self._segments:
            segment = self._segments[self._index(sample)]
            first, wall_ms = segment.first, segment.wall_ms
        return round(wall_ms + (sample - first) * 1000 / self.rate)

    def appended_ms(self, sample: int) -> int:
        """Return the append time of the record with the sample, or of the last one before it."""
        return self._segments[self._index(sample)].appended_ms

    def offsets(self, start: int, end: int) -> tuple[int, int]:
        """Return the lowest and highest offset of [start, end); reordering separates them."""
        segments = self._segments[self._index(start) : self._index(end - 1) + 1]
        return min(each.offset for each in segments), max(each.offset for each in segments)

    def trim(self, start: int) -> None:
        """Drop the segments before the one that the time of `start` is computed from."""
        before = self._index(start)
        del self._segments[:before], self._firsts[:before]
        self.start = start

    def _index(self, sample: int) -> int:
        return max(0, bisect_right(self._firsts, sample) - 1)
