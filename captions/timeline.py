"""The events of one stream as segments on one time axis.

Positions of audio count from the beginning of a session. The first session's axis is the axis of
the whole stream; a later session is placed by wall time, but never before the end of the earlier
one, because a clock may have been set back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias, TypeGuard

from schemas.transcript import (
    AnyEvent,
    StreamGap,
    TranscriptFinal,
    UtteranceFailed,
    Verdict,
    Word,
)

Placeable: TypeAlias = TranscriptFinal | StreamGap | UtteranceFailed

# Invisible, but part of how a text is written: joiners and marks of direction.
_FORMAT: Final = frozenset((*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A)))


class SegmentKind(StrEnum):
    SPEECH = "speech"
    SUPPRESSED = "suppressed"  # a final without text: no speech, by its quality
    FAILED = "failed"  # an utterance that could not be transcribed
    GAP = "gap"  # audio that never reached Kafka


@dataclass(frozen=True, slots=True)
class Segment:
    """One event on the axis of its stream."""

    kind: SegmentKind
    start_s: float
    end_s: float
    text: str  # of speech, without control characters; otherwise empty
    words: tuple[Word, ...]  # on the same axis; empty: not measured
    event: Placeable

    @property
    def note(self) -> str:
        """What is missing here, in a few words; empty for speech."""
        match self.event:
            case TranscriptFinal(quality=quality) if self.kind is SegmentKind.SUPPRESSED:
                return f"suppressed: {clean(', '.join(quality.reasons)) or 'no speech'}"
            case StreamGap(estimated=estimated):
                about = "about " if estimated else ""
                return f"gap: {about}{self.end_s - self.start_s:.1f} s never reached Kafka"
            case UtteranceFailed(reason=reason):
                return f"failed: {clean(reason)}"
            case _:
                return ""


class _Span(NamedTuple):
    start_s: float
    end_s: float


def is_placeable(event: AnyEvent) -> TypeGuard[Placeable]:
    """Return whether the event covers a stretch of a recording: a final, a failure, a gap."""
    return isinstance(event, Placeable)


def segments(events: Iterable[Placeable]) -> Iterator[Segment]:
    """Yield the segments of one stream's events, which are in the order of their publication."""
    session_id, offset_s, end_s = None, 0.0, 0.0
    zero_s: float | None = None  # Unix time of the axis's origin
    for event in events:
        span = _span(event)
        began_s = event.time_ms / 1_000 - span.end_s
        zero_s = began_s if zero_s is None else zero_s
        if session_id not in {None, event.session_id}:
            offset_s = max(began_s - zero_s, end_s - span.start_s)
        session_id = event.session_id
        segment = _segment(event, span, offset_s)
        end_s = max(end_s, segment.end_s)
        yield segment


def clean(text: str) -> str:
    """Return the text in one line, without what XML and subtitles cannot hold."""
    return " ".join("".join(map(_clean, text)).split())


def _clean(character: str) -> str:
    if character.isprintable() or ord(character) in _FORMAT:
        return character
    return " " if character.isspace() else ""


def _span(event: Placeable) -> _Span:
    if isinstance(event, TranscriptFinal):
        return _Span(event.start_s, event.end_s)
    return _Span(event.start_sample / event.rate, event.end_sample / event.rate)


def _kind(event: Placeable) -> SegmentKind:
    match event:
        case TranscriptFinal(quality=quality):
            suppressed = quality.verdict is Verdict.SUPPRESSED
            return SegmentKind.SUPPRESSED if suppressed else SegmentKind.SPEECH
        case UtteranceFailed():
            return SegmentKind.FAILED
        case StreamGap():
            return SegmentKind.GAP


def _segment(event: Placeable, span: _Span, offset_s: float) -> Segment:
    kind = _kind(event)
    text = ""
    words: tuple[Word, ...] = ()
    if isinstance(event, TranscriptFinal) and kind is SegmentKind.SPEECH:
        text = clean(event.text)
        words = tuple(
            Word(clean(w.text), w.start_s + offset_s, w.end_s + offset_s, w.probability)
            for w in event.words or ()
        )
    return Segment(kind, span.start_s + offset_s, span.end_s + offset_s, text, words, event)
