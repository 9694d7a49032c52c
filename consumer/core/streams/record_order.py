"""The meaning of a record, given those before it: pure, and the same on every replay.

    RecordOrder + Chunk -> RecordOrder after it + steps

Steps are taken later, when all audio before them has been scored (`core.streams.stream`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from consumer.core.audio.format_hints import Hint
from consumer.core.audio.utterance import EndReason
from consumer.core.streams.arrival import Arrival, is_lower, overlap, repeats_audio
from consumer.core.streams.chunks import Chunk, identity, wall_ms
from consumer.core.streams.entries import DeadLetter
from consumer.core.streams.session import SessionStart
from consumer.core.streams.state import RecordOrder
from consumer.core.streams.timeline import AudioSegment
from schemas.audio import StreamOptions
from schemas.audio_headers import is_option
from schemas.errors import Reason, WireError
from schemas.options import NO_OPTIONS
from schemas.transcript import StreamEndReason

RESTARTED = (
    "restart: its numbers began anew with other audio and without an `end`; a header `run` of its "
    "own for each run of a publisher makes that certain"
)

OTHER_OPTIONS: Final = Hint(
    "options",
    "options: those of the session's first record apply; to change them, end the stream (`end`) "
    "and send them on the next record",
)


@dataclass(frozen=True, slots=True)
class RecordStep:
    offset: int  # of its record
    before: RecordOrder | None  # before the step, to read the record again from here


@dataclass(frozen=True, slots=True)
class OpenSession(RecordStep):
    start: SessionStart


@dataclass(frozen=True, slots=True)
class InsertGap(RecordStep):
    to: int
    wall_ms: float
    estimated: bool


@dataclass(frozen=True, slots=True)
class ReportLoss(RecordStep):
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class CloseUtterance(RecordStep):
    reason: EndReason


@dataclass(frozen=True, slots=True)
class EndSession(RecordStep):
    reason: StreamEndReason


@dataclass(frozen=True, slots=True)
class RejectRecord(RecordStep):
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class Warn(RecordStep):
    message: str


StreamStep: TypeAlias = (
    OpenSession
    | AudioSegment
    | InsertGap
    | ReportLoss
    | CloseUtterance
    | EndSession
    | RejectRecord
    | Warn
)


def read(
    chunk: Chunk,
    order: RecordOrder | None,
    start: Callable[[Chunk], SessionStart],
    how: Arrival = Arrival.NEXT,
) -> tuple[RecordOrder | None, list[StreamStep]]:
    """Return the order after a record, which is the next one or a restart, and its steps.

    `start` returns the start of a session, given its first record. Raises `WireError` if the record
    contradicts the session.
    """
    steps: list[StreamStep] = []
    left = None  # the run of the session that the record ends
    if order is not None and (reason := _session_break(chunk, order, how)) is not None:
        steps.append(EndSession(chunk.offset, order, reason))
        left, order = order.run, replace(order, over=True)
    if (order is None or order.over) and len(chunk.samples):
        chunk = _with_options(chunk, order)
        began = start(chunk)
        if how is Arrival.RESTART and steps and chunk.audio.run is None:
            began = replace(began, problems=(*began.problems, RESTARTED))
        steps.append(OpenSession(chunk.offset, order, began))
        order = _initial_order(chunk, left, began.problems)
    elif (order is None or order.over) and chunk.audio.options != NO_OPTIONS:
        order = order or _initial_order(chunk, None, ())
        order = replace(order, over=True, options=None if chunk.audio.end else chunk.audio.options)
    if order is not None and not order.over:
        order = _continue(chunk, order, steps)
    return order, steps


def _with_options(chunk: Chunk, before: RecordOrder | None) -> Chunk:
    """Return the first record of a session, with the options before it if it states none itself.

    A session may begin because the format changes, records are missing or the publisher connects
    again; only the first record of the stream has its options then.
    """
    audio = chunk.audio
    if before is None or before.options is None or audio.options != NO_OPTIONS:
        return chunk
    is_other_run = audio.run not in {None, before.run}
    return chunk if is_other_run else chunk._replace(audio=replace(audio, options=before.options))


def _session_break(chunk: Chunk, order: RecordOrder, how: Arrival) -> StreamEndReason | None:
    """Return why the record does not belong to the open session, or None if it does."""
    if order.over:
        return None
    if how is Arrival.RESTART:
        return StreamEndReason.RESTART
    if order.uncertain and is_lower(chunk, order):
        return StreamEndReason.RESTART
    if len(chunk.samples) and (chunk.rate, chunk.channels) != (order.rate, order.channels):
        return StreamEndReason.FORMAT
    return None


def warn_once(
    order: RecordOrder, hint: Hint, offset: int, add: Callable[[Warn], None]
) -> RecordOrder:
    """Add a warning of the hint's kind, unless the session has one; return the order after it."""
    if hint.kind in order.warned:
        return order
    add(Warn(offset, order, hint.message))
    return replace(order, warned=(*order.warned, hint.kind))


def _initial_order(chunk: Chunk, left: str | None, announced: tuple[str, ...]) -> RecordOrder:
    """Return the order before the first record of a session.

    `left`: the run that it ended; `announced`: the problems that the session begins with.
    """
    audio = chunk.audio
    return RecordOrder(
        rate=chunk.rate,
        channels=chunk.channels,
        end=audio.start or 0,
        first_seq=audio.seq,
        first=identity(chunk),
        next_seq=audio.seq,
        last_samples=len(chunk.samples),
        positioned=audio.start is not None,
        run=audio.run,
        left_run=None if left == audio.run else left,
        warned=tuple(dict.fromkeys(hint.kind for hint in map(_warning, announced))),
        options=None if audio.options == NO_OPTIONS else audio.options,
    )


def _warning(problem: str) -> Hint:
    """Return a problem with a header as a hint; its kind is the header's name."""
    return Hint(problem.partition(":")[0], problem)


def _continue(chunk: Chunk, order: RecordOrder, steps: list[StreamStep]) -> RecordOrder:
    """Append the steps of a record of the open session; return the order after it."""
    gap = _gap(chunk, order)
    if gap is not None:
        steps += [CloseUtterance(chunk.offset, order, EndReason.GAP), gap]
        order = replace(order, end=gap.to)
    order = _up_to(chunk, order)
    for hint in _hints(chunk, order):
        order = warn_once(order, hint, chunk.offset, steps.append)
    audio, end, last_samples = chunk.audio, order.end, order.last_samples
    if len(chunk.samples):
        segment = _segment(chunk, order)
        steps.append(segment)
        end, last_samples = max(end, segment.end), len(chunk.samples)
    if audio.flush:
        steps.append(CloseUtterance(chunk.offset, order, EndReason.FLUSH))
    if audio.end:
        steps.append(EndSession(chunk.offset, order, StreamEndReason.END))
    return order.after(
        end=end,
        next_seq=None if audio.seq is None else audio.seq + 1,
        last_samples=last_samples,
        positioned=audio.start is not None,
        over=audio.end,
    )


def _up_to(chunk: Chunk, order: RecordOrder) -> RecordOrder:
    """Return the order right before a record that is the next one."""
    wrapped = tuple(dict.fromkeys((*order.wrapped, *chunk.wraps)))
    known = (order.next_seq, order.uncertain, order.repeated_to, order.wrapped)
    if known == (chunk.audio.seq, False, None, wrapped):
        return order
    return replace(
        order, next_seq=chunk.audio.seq, uncertain=False, repeated_to=None, wrapped=wrapped
    )


def _hints(chunk: Chunk, order: RecordOrder) -> Iterator[Hint]:
    """Yield what looks wrong with a record of the session."""
    yield from chunk.hints
    yield from (_warning(each) for each in chunk.audio.problems if not is_option(each))
    if _has_other_options(chunk, order):
        yield OTHER_OPTIONS


def _has_other_options(chunk: Chunk, order: RecordOrder) -> bool:
    """Return whether the record states an option other than as the session's first record."""
    later, first = chunk.audio.options, order.options or NO_OPTIONS
    if later in (NO_OPTIONS, first):
        return False
    return any(
        getattr(later, name) not in (None, getattr(first, name))
        for name in StreamOptions.__dataclass_fields__
    )


def _gap(chunk: Chunk, order: RecordOrder) -> InsertGap | None:
    start, seq = chunk.audio.start, chunk.audio.seq
    if start is not None:
        to, estimated = start, False
    elif seq is not None and order.next_seq is not None:
        to, estimated = order.end + (seq - order.next_seq) * order.last_samples, True
    else:
        return None
    if to <= order.end:
        return None
    return InsertGap(chunk.offset, order, to, wall_ms(chunk), estimated)


def _segment(chunk: Chunk, order: RecordOrder) -> AudioSegment:
    repeated = overlap(chunk, order)
    if repeats_audio(chunk, order):
        raise WireError(
            Reason.OVERLAP,
            f"start={chunk.audio.start} lies {repeated} samples before the end of the audio so "
            "far: send each sample once, or begin a new stream",
        )
    repeated = min(repeated, len(chunk.samples))
    return AudioSegment(
        samples=chunk.samples[repeated:],
        first=order.end,
        offset=chunk.offset,
        wall_ms=wall_ms(chunk) + repeated * 1000 / chunk.rate,
        appended_ms=chunk.timestamp_ms,
        before=order,
    )
