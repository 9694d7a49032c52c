"""What a format writes: the segments of one stream and their cues, under a title."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from captions.cues import Cue, cues
from captions.timeline import Placeable, Segment, SegmentKind, clean, segments


@dataclass(frozen=True, slots=True)
class StreamTranscript:
    """The transcript of one stream."""

    title: str  # one line; may be empty
    segments: tuple[Segment, ...]

    @property
    def speech(self) -> list[Segment]:
        """The segments with text."""
        return [each for each in self.segments if each.kind is SegmentKind.SPEECH and each.text]

    @property
    def marks(self) -> list[Segment]:
        """The segments in which something is missing."""
        return [each for each in self.segments if each.note]

    @property
    def language(self) -> str:
        """The language of the first speech, BCP 47; "und" without speech."""
        return next((language(each) for each in self.speech), "und")

    def cues(self) -> Iterator[Cue]:
        """Yield the cues of the speech."""
        return cues(self.segments)


def stream_transcript(events: Iterable[Placeable], title: str = "") -> StreamTranscript:
    """Return the transcript of one stream's events, in the order of their publication."""
    return StreamTranscript(clean(title), tuple(segments(events)))


def language(segment: Segment) -> str:
    """Return the language of a segment of speech, BCP 47."""
    return str(getattr(segment.event, "language", "und"))


def clock(time_ms: int) -> str:
    """Return a time as HH:MM:SS.mmm; hours may have more digits."""
    seconds, milliseconds = divmod(time_ms, 1_000)
    return f"{whole_clock(seconds)}.{milliseconds:03}"


def whole_clock(seconds: float) -> str:
    """Return a time as HH:MM:SS, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}"
