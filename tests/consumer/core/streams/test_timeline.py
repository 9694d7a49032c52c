from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.core.audio.utterance import Int16Array
from consumer.core.streams.timeline import AudioSegment, Timeline

RATE = 16_000
WALL_MS = 1_000_000.0


def ramp(first: int, count: int) -> Int16Array:
    """Return samples whose values are their positions."""
    return np.arange(first, first + count, dtype=np.int16)


def segment(first: int, count: int, offset: int, **more: float) -> AudioSegment:
    wall_ms = more.get("wall_ms", WALL_MS + first * 1000 / RATE)
    return AudioSegment(ramp(first, count), first, offset, wall_ms, 0)


def timeline(*segments: AudioSegment, start: int = 0) -> Timeline:
    made = Timeline(RATE, start, (start, WALL_MS + start * 1000 / RATE))
    for each in segments:
        made.append(each)
    return made


def test_a_segment_must_begin_where_the_timeline_ends():
    line = timeline(segment(0, 160, 7))
    for first in (159, 161):
        with pytest.raises(ValueError, match="the timeline ends at 160"):
            line.append(segment(first, 10, 8))
    assert line.end == 160


def held(line: Timeline) -> list[int]:
    return [segment.offset for segment in line.undecided]


def test_segments_with_samples_after_the_cut_are_undecided():
    line = timeline(segment(0, 160, 7), segment(160, 160, 8), segment(320, 160, 9))
    assert held(line) == [7, 8, 9]
    line.trim(200)
    assert held(line) == [8, 9]
    line.trim(480)
    assert held(line) == []


def test_in_a_replay_audio_is_undecided_from_the_cut_on():
    line = Timeline(RATE, 200, (0, WALL_MS), 0)
    line.append(segment(0, 160, 7))
    assert held(line) == []
    line.append(segment(160, 160, 8))
    assert held(line) == [8]
    np.testing.assert_array_equal(line.samples(200, 320), ramp(200, 120))


def test_offsets_of_reordered_records_are_a_range():
    line = timeline(segment(0, 160, 9), segment(160, 160, 7))
    assert line.offsets(0, 320) == (7, 9)


def test_a_record_without_samples_is_not_in_the_range():
    line = timeline(segment(0, 160, 7), segment(160, 0, 8), segment(160, 160, 9))
    assert line.offsets(0, 320) == (7, 9)


def test_the_time_of_a_sample_is_that_of_its_record():
    line = timeline(segment(0, 1600, 7, wall_ms=5_000.0), segment(1600, 1600, 8, wall_ms=5_250.0))
    assert line.time_ms(1599) == 5_100
    assert line.time_ms(1600) == 5_250
    assert line.time_ms(3200) == 5_350


def test_before_the_first_record_time_counts_from_the_origin():
    line = Timeline(RATE, 1600, (1600, WALL_MS))
    assert line.time_ms(1600) == 1_000_000
    assert line.time_ms(3200) == 1_000_100


def test_time_is_known_after_all_audio_was_trimmed():
    line = timeline(segment(0, 1600, 7, wall_ms=5_000.0))
    line.trim(1600)
    assert line.time_ms(1600) == 5_100
    assert line.origin == (0, 5_000.0)
    assert line.samples(1600, 1600).size == 0
    line.append(segment(1600, 160, 8, wall_ms=9_000.0))
    assert held(line) == [8]
    assert line.time_ms(1600) == 9_000


def test_samples_are_a_copy():
    line = timeline(segment(0, 160, 7))
    taken = line.samples(0, 160)
    taken[:] = 0
    assert line.samples(0, 160)[1] == 1


@dataclass(frozen=True)
class Split:
    """Audio of `length` samples from `start`, cut into records."""

    start: int
    lengths: tuple[int, ...]

    def segments(self) -> list[AudioSegment]:
        firsts = np.cumsum([self.start, *self.lengths])
        return [
            segment(int(first), length, offset)
            for offset, (first, length) in enumerate(zip(firsts[:-1], self.lengths, strict=True))
        ]


splits = st.builds(
    Split, st.integers(0, 1000), st.lists(st.integers(0, 50), min_size=1, max_size=12).map(tuple)
)


@given(split=splits, data=st.data())
def test_samples_do_not_depend_on_the_split_into_records(split: Split, data: st.DataObject):
    line = timeline(*split.segments(), start=split.start)
    end = split.start + sum(split.lengths)
    trims = sorted(data.draw(st.lists(st.integers(split.start, end), max_size=3)))
    for at in trims:
        line.trim(at)
    assert (line.start, line.end) == (trims[-1] if trims else split.start, end)
    first = data.draw(st.integers(line.start, end))
    last = data.draw(st.integers(first, end))
    np.testing.assert_array_equal(line.samples(first, last), ramp(first, last - first))


@given(split=splits, data=st.data())
def test_offset_and_time_of_every_sample_survive_any_trim(split: Split, data: st.DataObject):
    segments = split.segments()
    line = timeline(*segments, start=split.start)
    line.trim(data.draw(st.integers(split.start, line.end)))
    for each in segments:
        for sample in range(max(each.first, line.start), each.end):
            assert line.time_ms(sample) == round(WALL_MS + sample * 1000 / RATE)
            assert line.offsets(sample, sample + 1) == (each.offset, each.offset)
    assert line.time_ms(line.end) == round(WALL_MS + line.end * 1000 / RATE)
