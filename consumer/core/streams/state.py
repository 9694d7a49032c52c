"""The state of a stream that is committed, so that the next owner can resume.

All of it is *as of* the cut, the sample at which undecided audio begins: reading on from
`needed_offset` reproduces everything after the cut, and nothing before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from consumer.core.streams.language import UNKNOWN, LanguageHold
from schemas.audio import StreamOptions

Digest: TypeAlias = tuple[int, int]  # number of a record, CRC-32 of the rest of it
Identity: TypeAlias = tuple[int, int | None, int | None]  # payload's CRC-32, position, wall ms


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """What the records read so far require of the next one."""

    rate: int
    channels: int
    end: int  # index of the sample after the last one
    first_seq: int | None
    first: Identity  # of the session's first record
    next_seq: int | None
    last_samples: int  # of the last record with audio
    positioned: bool  # whether the last record stated `start`
    uncertain: bool = False  # records after it were deleted unread, perhaps the session's end
    over: bool = False  # the session has ended; kept to recognise repeats of its records
    run: str | None = None  # of the publisher, as its records state
    left_run: str | None = None  # of the session that this one's publisher ended by a restart
    repeated_to: int | None = None  # number after repeats of the session from its first record on
    warned: tuple[str, ...] = ()  # kinds of the warnings that its records led to
    wrapped: tuple[str, ...] = ()  # its numbers that began at 0 again
    options: StreamOptions | None = None  # as stated, also for the next session of the run

    def after(
        self, *, end: int, next_seq: int | None, last_samples: int, positioned: bool, over: bool
    ) -> RecordOrder:
        """Return the order after a record of the session: `replace`, at a third of its cost."""
        return RecordOrder(
            self.rate,
            self.channels,
            end,
            self.first_seq,
            self.first,
            next_seq,
            last_samples,
            positioned,
            self.uncertain,
            over,
            self.run,
            self.left_run,
            self.repeated_to,
            self.warned,
            self.wrapped,
            None if over else self.options,
        )

    @property
    def is_numbered(self) -> bool:
        """Whether the next record shows what is missing before it."""
        return self.next_seq is not None or self.positioned

    @property
    def first_number(self) -> int:
        """What numbers the first record: `seq`, else its position."""
        return (self.first[1] or 0) if self.first_seq is None else self.first_seq


@dataclass(frozen=True, slots=True)
class SessionState:
    """An open session as of its cut."""

    session_id: str
    rate: int
    channels: int
    options: StreamOptions  # complete
    traceparent: str | None
    cut: int  # index of the first undecided sample
    in_speech: bool  # whether the cut split an utterance, so that speech continues
    origin: tuple[int, float]  # a sample and its Unix time in ms
    events: int  # so far: the index of the next one
    utterances: int  # so far: the number of the next one
    gaps: int
    audio_samples: int
    speech_samples: int
    attempts: int = 0  # committed attempts at the next utterance, without a known result
    language: LanguageHold = UNKNOWN
    no_speech_samples: int = 0  # of sound since the last utterance
    warned: tuple[str, ...] = ()  # kinds of the warnings that its audio led to


@dataclass(frozen=True, slots=True)
class StreamState:
    """The committed state of one stream id."""

    needed_offset: int | None  # F: lowest offset still needed; None: nothing is unfinished
    read_offset: int  # the offset after the last record read, as of the cut
    last_ms: int  # append time of its last record
    order: RecordOrder | None  # before all undecided records
    session: SessionState | None  # None: no session is open
    decided_offsets: tuple[int, ...] = ()  # above F, of records read before it
    recent: tuple[Digest, ...] = ()  # of the last records read before it, oldest first

    @property
    def resume_offset(self) -> int:
        """The offset below which no record is needed any more."""
        return self.read_offset if self.needed_offset is None else self.needed_offset
