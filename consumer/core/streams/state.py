"""What is written down of a partition, so that whoever reads it next goes on where it stopped.

All of a stream's state is *as of* its cut, the sample at which undecided audio begins, and none of
it as of now: reading on from `needed` makes everything behind the cut again, and nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consumer.core.streams.language import UNKNOWN, LanguageHold
from schemas.audio import StreamOptions

Identity: TypeAlias = tuple[int, int | None, int | None]  # payload's crc32, position, wall time


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """What the records so far say about the next one."""

    rate: int
    channels: int
    end: int  # index of the sample after the last one
    first_seq: int | None
    first: Identity  # of the session's first record
    next_seq: int | None
    last_samples: int  # of the last record that had any
    positioned: bool  # the last record said where it begins
    uncertain: bool = False  # records behind it were deleted unread, perhaps the session's end
    over: bool = False  # the session has ended; repeats of its records are known by this


@dataclass(frozen=True, slots=True)
class SessionState:
    """An open session as of its cut."""

    session_id: str
    rate: int
    channels: int
    options: StreamOptions  # complete
    traceparent: str | None
    cut: int  # index of the first undecided sample
    in_speech: bool  # the cut split a long utterance: speech goes on behind it
    origin: tuple[int, float]  # a sample and its Unix time in ms, from which time is reckoned
    events: int  # of the session so far: index of the next one
    utterances: int  # number of the next one
    gaps: int
    audio_samples: int
    speech_samples: int
    attempts: int = (
        0  # decodes of the next utterance that were begun and, as far as known, not ended
    )
    language: LanguageHold = UNKNOWN  # its language


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream id."""

    needed_offset: int | None  # F: lowest offset still needed; None: nothing is unfinished
    read_offset: int  # the offset behind the last record that was read as of the cut
    last_ms: int  # append time of its last record
    order: RecordOrder | None  # as it was before what is undecided
    session: SessionState | None  # None: none is open
    decided_offsets: tuple[
        int, ...
    ] = ()  # offsets above F that are decided: records before them came late

    @property
    def resume_offset(self) -> int:
        """Records below it are done with."""
        return self.read_offset if self.needed_offset is None else self.needed_offset
