"""How a record relates to those read before it: next, restart, repeat, late or in conflict.

What has other bytes is no repeat. A publisher that states its run is certain: with another `run` a
session begins, and within one run a number means one record. Without it, a lower number is a
repeat if its bytes are remembered, a restart at the beginning of the session's numbers or where no
record is remembered, and otherwise a record of a second publisher.
"""

from __future__ import annotations

from enum import Enum, auto

from consumer.core.streams.chunks import Chunk
from consumer.core.streams.repeats import RecentRecords, digest, number
from consumer.core.streams.state import RecordOrder
from consumer.core.streams.wraparound import is_of_other_run

PADDING_MS = 60  # largest overlap that `start` may state: codecs pad


class Arrival(Enum):
    """How a record relates to those read before it."""

    NEXT = auto()  # it continues its session, or begins one
    RESTART = auto()  # its publisher began anew
    REPEAT = auto()  # it was read before
    LATE = auto()  # its number was given up before
    CONFLICT = auto()  # another record was read under its number, or its publisher was left


def arrival(chunk: Chunk, order: RecordOrder | None, recent: RecentRecords) -> Arrival:
    """Return how the record relates to those read before it."""
    if order is None or order.uncertain:
        return Arrival.NEXT
    is_other_run = is_of_other_run(chunk, order)
    if not is_other_run and not is_lower(chunk, order):
        return Arrival.NEXT
    if digest(chunk) in recent:
        return Arrival.REPEAT
    if is_other_run:
        is_left = chunk.audio.run == order.left_run and not order.over
        return Arrival.CONFLICT if is_left else Arrival.RESTART
    return _lower(chunk, order, recent)


def is_lower(chunk: Chunk, order: RecordOrder) -> bool:
    """Return whether the record's number lies before those that may follow."""
    if chunk.audio.seq is not None:
        return order.next_seq is not None and chunk.audio.seq < order.next_seq
    return repeats_audio(chunk, order)


def _lower(chunk: Chunk, order: RecordOrder, recent: RecentRecords) -> Arrival:
    """Return the arrival of a lower number that is no proven repeat.

    Within one run, a number that is no longer remembered is a repeat. Otherwise a restart begins at
    the beginning, perhaps with records that are repeats, as many begin with the same silence.
    """
    stated = number(chunk)
    assert stated is not None
    if recent.covers(stated) and not recent.has_number(stated) and not order.over:
        return Arrival.LATE
    if None not in {chunk.audio.run, order.run}:
        return Arrival.CONFLICT if recent.has_number(stated) else Arrival.REPEAT
    is_beginning = stated <= order.first_number or stated == order.repeated_to
    if order.over or is_beginning or not recent.covers(stated):
        return Arrival.RESTART
    return Arrival.CONFLICT


def overlap(chunk: Chunk, order: RecordOrder) -> int:
    """Return by how many samples `start` lies before the end of the audio so far."""
    return 0 if chunk.audio.start is None else order.end - chunk.audio.start


def repeats_audio(chunk: Chunk, order: RecordOrder) -> bool:
    """Return whether `start` states a larger overlap than the padding of a codec."""
    return overlap(chunk, order) * 1000 > PADDING_MS * chunk.rate
