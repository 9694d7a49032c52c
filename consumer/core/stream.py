"""One stream id: puts records in order, finds gaps and repeats, and drives one session at a time.

What a record means is decided when it comes (`push`), as a list of steps; the steps are taken as
soon as all audio before them has been scored (`listen`, `hear`), because a gap or an end closes the
open utterance, and where that one ends only the detector's scores can say.

    idle --record--> session --end / idle--> idle
                     session --format / restart--> session
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

from consumer.core.progress import Ledger, Position
from consumer.core.segmenter import SegmenterConfig
from consumer.core.session import Begin, Heard, Session
from consumer.core.timeline import Sound
from consumer.core.values import (
    Chunk,
    EndReason,
    Float32Array,
    Listen,
    Partition,
    SessionKey,
)
from schemas.audio import StreamOptions
from schemas.errors import Reason, WireError
from schemas.transcript import StreamEndReason

PADDING_MS = 60  # `start` may overlap by as much: codecs pad


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """What holds for every stream of a topic."""

    segmenter: SegmenterConfig
    options: StreamOptions  # complete: what holds where the publisher does not say
    session_prefix: str = ""  # tells sessions of the bulk topic from those of the live one


@dataclass(frozen=True, slots=True)
class _Gap:
    to: int
    wall_ms: float
    offset: int
    estimated: bool


@dataclass(frozen=True, slots=True)
class _Close:
    reason: EndReason
    offset: int


@dataclass(frozen=True, slots=True)
class _End:
    reason: StreamEndReason
    offset: int


_Step: TypeAlias = Begin | Sound | _Gap | _Close | _End
_Identity: TypeAlias = tuple[int, int | None, int | None]  # payload's crc32, position, wall time


@dataclass(slots=True)
class _Order:
    """What the records so far say about the next one."""

    rate: int
    channels: int
    end: int  # index of the sample after the last one
    first_seq: int | None
    first: _Identity
    next_seq: int | None
    last_samples: int  # of the last record


class Stream:
    """`push` raises `WireError` for a record that contradicts the session, and changes nothing."""

    def __init__(
        self, partition: Partition, stream_id: str, policy: StreamPolicy, ledger: Ledger
    ) -> None:
        self.partition = partition
        self.stream_id = stream_id
        self.last_ms = 0  # append time of the last record
        self._policy = policy
        self._ledger = ledger
        self._steps: deque[_Step] = deque()
        self._order: _Order | None = None  # None: no session goes on behind the queued steps
        self._session: Session | None = None

    @property
    def is_over(self) -> bool:
        return self._order is None and self._session is None and not self._steps

    @property
    def in_speech(self) -> bool:
        return self._session is not None and self._session.in_speech

    def push(self, chunk: Chunk) -> bool:
        """Queue what the record means; False when it was a repeat and has been dropped."""
        self.last_ms = max(self.last_ms, chunk.timestamp_ms)
        steps = self._read(chunk)
        self._steps.extend(steps)
        self._hold()
        return bool(steps)

    def stall(self) -> None:
        """No record for a while and none waiting: the open utterance ends."""
        if self._order is not None:
            self._steps.append(_Close(EndReason.STALLED, self._ledger.next_offset))

    def expire(self) -> None:
        """No record for long: the session ends."""
        if self._order is not None:
            self._order = None
            self._steps.append(_End(StreamEndReason.IDLE, self._ledger.next_offset))

    def listen(self) -> tuple[Listen | None, list[Heard]]:
        """Take all steps that can be taken: the next audio to score, and utterances that ended."""
        heard: list[Heard] = []
        while (request := self._unscored()) is None and self._steps:
            heard.extend(self._take(self._steps.popleft()))
        self._hold()
        return request, heard

    def hear(self, probabilities: Float32Array) -> list[Heard]:
        """The answer to what `listen` asked for."""
        if self._session is None:
            raise ValueError("nothing was asked for")
        heard = self._session.hear(probabilities)
        self._hold()
        return _present(heard)

    # --- what a record means

    def _read(self, chunk: Chunk) -> list[_Step]:
        steps: list[_Step] = []
        if self._is_repeat(chunk):
            return steps
        if (reason := self._session_break(chunk)) is not None:
            steps.append(_End(reason, chunk.offset))
            self._order = None
        if self._order is None:
            if not len(chunk.samples):
                return steps  # an end or a flush of nothing
            self._order = self._first(chunk)
            steps.append(self._begin(chunk))
        steps.extend(self._follow(chunk, self._order))
        return steps

    def _is_repeat(self, chunk: Chunk) -> bool:
        order, seq = self._order, chunk.audio.seq
        if order is None or seq is None or order.next_seq is None or seq >= order.next_seq:
            return False
        return not self._is_restart(chunk, order)

    def _is_restart(self, chunk: Chunk, order: _Order) -> bool:
        """A number before the first, or the first again, but not the first record again."""
        seq, first = chunk.audio.seq, order.first_seq
        if seq is None or first is None:
            return False
        return seq < first or (seq == first and _identity(chunk) != order.first)

    def _session_break(self, chunk: Chunk) -> StreamEndReason | None:
        order, seq = self._order, chunk.audio.seq
        if order is None:
            return None
        if seq is not None and order.next_seq is not None and seq < order.next_seq:
            return StreamEndReason.RESTART
        if len(chunk.samples) and (chunk.rate, chunk.channels) != (order.rate, order.channels):
            return StreamEndReason.FORMAT
        return None

    def _first(self, chunk: Chunk) -> _Order:
        audio = chunk.audio
        return _Order(
            rate=chunk.rate,
            channels=chunk.channels,
            end=audio.start or 0,
            first_seq=audio.seq,
            first=_identity(chunk),
            next_seq=audio.seq,
            last_samples=len(chunk.samples),
        )

    def _begin(self, chunk: Chunk) -> Begin:
        name = f"{self._policy.session_prefix}{self.partition.number}-{chunk.offset}"
        return Begin(
            key=SessionKey(self.partition, self.stream_id, name),
            offset=chunk.offset,
            first=chunk.audio.start or 0,
            wall_ms=_wall_ms(chunk),
            rate=chunk.rate,
            channels=chunk.channels,
            options=complete(chunk.audio.options, self._policy.options),
            problems=chunk.audio.problems,
            traceparent=chunk.audio.traceparent,
        )

    def _follow(self, chunk: Chunk, order: _Order) -> list[_Step]:
        steps: list[_Step] = []
        gap = self._gap(chunk, order)
        if gap is not None:
            steps += [_Close(EndReason.GAP, chunk.offset), gap]
            order.end = gap.to
        if len(chunk.samples):
            steps.append(self._sound(chunk, order))
        self._advance(chunk, order)
        if chunk.audio.flush:
            steps.append(_Close(EndReason.FLUSH, chunk.offset))
        if chunk.audio.end:
            steps.append(_End(StreamEndReason.END, chunk.offset))
            self._order = None
        return steps

    def _gap(self, chunk: Chunk, order: _Order) -> _Gap | None:
        start, seq = chunk.audio.start, chunk.audio.seq
        if start is not None:
            to, estimated = start, False
        elif seq is not None and order.next_seq is not None:
            to, estimated = order.end + (seq - order.next_seq) * order.last_samples, True
        else:
            return None
        return _Gap(to, _wall_ms(chunk), chunk.offset, estimated) if to > order.end else None

    def _sound(self, chunk: Chunk, order: _Order) -> Sound:
        start = order.end if chunk.audio.start is None else chunk.audio.start
        overlap = order.end - start
        if overlap * 1000 > PADDING_MS * chunk.rate:
            raise WireError(
                Reason.OVERLAP,
                f"start={start} lies {overlap} samples before the end of what came before: "
                "send each sample once, or begin a new stream",
            )
        overlap = min(overlap, len(chunk.samples))
        return Sound(
            samples=chunk.samples[overlap:],
            first=order.end,
            offset=chunk.offset,
            wall_ms=_wall_ms(chunk) + overlap * 1000 / chunk.rate,
            skipped=overlap,
        )

    def _advance(self, chunk: Chunk, order: _Order) -> None:
        start = order.end if chunk.audio.start is None else chunk.audio.start
        if len(chunk.samples):
            order.end = max(order.end, start + len(chunk.samples))
            order.last_samples = len(chunk.samples)
        order.next_seq = None if chunk.audio.seq is None else chunk.audio.seq + 1

    # --- taking the steps

    def _unscored(self) -> Listen | None:
        session = self._session
        if session is None:
            return None
        while self._steps and isinstance(step := self._steps[0], Sound):
            session.append(step)
            self._steps.popleft()
        return session.unscored()

    def _take(self, step: _Step) -> list[Heard]:
        if isinstance(step, Begin):
            self._session = Session(step, self._policy.segmenter, self._ledger)
            return []
        session = self._session
        if session is None or isinstance(step, Sound):
            raise ValueError(f"{step} without a session to take it")
        if isinstance(step, _Gap):
            session.gap(step.to, step.wall_ms, estimated=step.estimated)
            return []
        if isinstance(step, _Close):
            return _present(session.close_utterance(step.reason))
        heard = session.close_utterance(EndReason.END_OF_STREAM)
        session.finish(step.reason)
        self._session = None
        return _present(heard)

    def _hold(self) -> None:
        """Tell the ledger where the audio begins that nothing was decided about."""
        held = None if self._session is None else self._session.held
        if held is None and self._steps:
            held = Position(self._steps[0].offset, 0)
        self._ledger.keep_from(self.stream_id, held)


def complete(asked: StreamOptions, defaults: StreamOptions) -> StreamOptions:
    """What was asked for, and the defaults where nothing was."""
    given = {f.name: value for f in fields(asked) if (value := getattr(asked, f.name)) is not None}
    return replace(defaults, **given)


def _present(heard: Heard | None) -> list[Heard]:
    return [] if heard is None else [heard]


def _identity(chunk: Chunk) -> _Identity:
    """Position and time tell one silence from another, with which most streams begin."""
    return zlib.crc32(chunk.audio.payload), chunk.audio.start, chunk.audio.captured_ms


def _wall_ms(chunk: Chunk) -> float:
    """When the first sample was spoken: as the publisher says, else just before it was appended."""
    if chunk.audio.captured_ms is not None:
        return chunk.audio.captured_ms
    return chunk.timestamp_ms - len(chunk.samples) * 1000 / chunk.rate
