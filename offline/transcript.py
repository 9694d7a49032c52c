"""The transcript of one input."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from captions.formats import write
from captions.timeline import Placeable
from schemas.transcript import AnyEvent, TranscriptFinal, Word


@dataclass(frozen=True, slots=True)
class Transcript:
    """The events of one input, in order, as a worker publishes them."""

    name: str  # of the input
    seconds: float  # of audio
    events: tuple[AnyEvent, ...]
    problems: tuple[str, ...] = ()  # what is missing, one line each; empty: nothing
    warnings: tuple[str, ...] = ()  # one line each

    @property
    def segments(self) -> tuple[TranscriptFinal, ...]:
        """The utterances that have text."""
        finals = (event for event in self.events if isinstance(event, TranscriptFinal))
        return tuple(final for final in finals if final.text)

    @property
    def text(self) -> str:
        """The text, one line for each segment."""
        return "\n".join(segment.text for segment in self.segments)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words of all segments with their times."""
        return tuple(word for segment in self.segments for word in segment.words or ())

    @property
    def language(self) -> str | None:
        """The language of most of the speech, BCP 47; None without speech."""
        seconds: Counter[str] = Counter()
        for segment in self.segments:
            seconds[segment.language] += round(1000 * (segment.end_s - segment.start_s))
        return max(seconds, key=seconds.__getitem__, default=None)

    def formatted(self, name: str) -> bytes:
        """Return the transcript in a format of `captions.formats.FORMATS`: txt, srt, json ...

        Raises FormatError for one that cannot hold it, ModuleNotFoundError without its extra.
        """
        events = [event for event in self.events if isinstance(event, Placeable)]
        return write(name, events, title=Path(self.name).stem)


class IncompleteTranscriptError(Exception):
    """Audio or texts are missing: the message has a line for each problem."""

    def __init__(self, transcript: Transcript) -> None:
        super().__init__("\n".join(transcript.problems))
        self.transcript = transcript  # of the rest
